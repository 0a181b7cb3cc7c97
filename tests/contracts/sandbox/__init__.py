"""The sandbox against the contract, asked by the SDK's sync and async clients and by raw HTTP."""
