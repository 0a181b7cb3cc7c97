{{/* What the configuration says that the rest of the chart goes by. */}}

{{- define "reconciler.port" -}}
{{- regexFind "[0-9]+$" .Values.config.listen -}}
{{- end -}}

{{/* "yes" for a store in a file, "" for a server. */}}
{{- define "reconciler.sqlite" -}}
{{- if hasPrefix "sqlite:" .Values.config.store }}yes{{ end -}}
{{- end -}}

{{/* Ports of the store's servers with a space between them; libpq takes several, and a parameter before the host's. */}}
{{- define "reconciler.storePorts" -}}
{{- $ports := list -}}
{{- with regexFind "[?&]port=[0-9,]+" .Values.config.store -}}
{{- $ports = splitList "," (regexFind "[0-9,]+$" .) -}}
{{- else -}}
{{- range splitList "," (regexReplaceAll "^[a-z]+://([^/?]*).*$" $.Values.config.store "${1}") -}}
{{- $ports = append $ports (default "5432" (regexFind "[0-9]+$" (regexFind ":[0-9]+$" .))) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | join " " -}}
{{- end -}}

{{- define "reconciler.secretFiles" -}}
{{- if .Values.secretFiles.existing }}{{ .Values.secretFiles.existing -}}
{{- else if .Values.secretFiles.data }}{{ include "reconciler.fullname" . }}-files{{ end -}}
{{- end -}}

{{- define "reconciler.secretEnv" -}}
{{- if .Values.secretEnv.existing }}{{ .Values.secretEnv.existing -}}
{{- else if .Values.secretEnv.data }}{{ include "reconciler.fullname" . }}-env{{ end -}}
{{- end -}}

{{/*
Stop with everything that is wrong between the values; what a single value may be is in values.schema.json.
`helm lint` only warns of it, so that the chart can be linted without values.
*/}}
{{- define "reconciler.check" -}}
{{- $wrong := list -}}
{{- $config := .Values.config -}}
{{- if not .Values.image.repository -}}
{{- $wrong = append $wrong "image.repository is empty: build the image from the repository's Dockerfile, push it, and name it here" -}}
{{- end -}}
{{- if not $config.sources -}}
{{- $wrong = append $wrong "config.sources is empty: name at least one repository, [{name: agents, url: https://…}]" -}}
{{- end -}}
{{- if not $config.auth -}}
{{- $wrong = append $wrong "config.auth is missing: the pages would be open to everybody; name a file of tokens or an oidc issuer" -}}
{{- end -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" $config.listen -}}
{{- $wrong = append $wrong (printf "config.listen is %s, where neither probes nor the Service reach the pod: write 0.0.0.0:8080 or [::]:8080" $config.listen) -}}
{{- end -}}
{{- if include "reconciler.sqlite" . -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- $wrong = append $wrong (printf "replicaCount is %d, and a store in a file serves one: set replicaCount to 1, or config.store to postgresql://USER@HOST/DATABASE" (int .Values.replicaCount)) -}}
{{- end -}}
{{- if not (hasPrefix "sqlite:////var/lib/reconciler/" $config.store) -}}
{{- $wrong = append $wrong "config.store names a file outside of /var/lib/reconciler, and nothing else can be written: move it there" -}}
{{- end -}}
{{- else if regexMatch "^[a-z]+://[^/@]*:[^/@]*@" $config.store -}}
{{- $wrong = append $wrong "config.store holds a password: take it out, and give PGPASSWORD in secretEnv" -}}
{{- end -}}
{{- range $name := list "secretFiles" "secretEnv" -}}
{{- $secret := get $.Values $name -}}
{{- if and $secret.existing $secret.data -}}
{{- $wrong = append $wrong (printf "%s has both existing and data: choose one" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $wrong = append $wrong "ingress.hosts is empty: name the host of the pages" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- $wrong = append $wrong "httpRoute.parentRefs is empty: name the Gateway, [{name: NAME, namespace: NAMESPACE}]" -}}
{{- end -}}
{{- if and .Values.workloadIdentity.enabled .Values.serviceAccount.create (not .Values.workloadIdentity.clientId) -}}
{{- $wrong = append $wrong "workloadIdentity.clientId is empty: name the client id of the managed identity" -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nreconciler cannot be installed with these values:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* What only a restart takes over; a change of anything else reaches the running pods by itself. */}}
{{- define "reconciler.restartsFor" -}}
{{- $limits := default dict .Values.config.limits -}}
{{- list .Values.config.listen .Values.config.store (get $limits "reconciles") .Values.secretEnv.data | toJson | sha256sum -}}
{{- end -}}
