"""The sandbox against the contract: the same rules asked by the SDK's sync and async clients and by raw HTTP."""
