{{/* What the pods of the service and that of the migration have in common. */}}

{{- define "reconciler.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* With `secretEnv`: the name of the Secret, "" for none. */}}
{{- define "reconciler.environment" -}}
{{- with .root.Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .secretEnv .root.Values.envFrom }}
envFrom:
  {{- with .secretEnv }}
  - secretRef: {name: {{ . | quote }}}
  {{- end }}
  {{- with .root.Values.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* With `config` and `secretFiles`: names of the ConfigMap and of the Secret, "" for none. */}}
{{- define "reconciler.volumes" -}}
- name: config
  configMap: {name: {{ .config | quote }}, items: [{key: service.yaml, path: service.yaml}]}
{{- with .secretFiles }}
- name: secrets
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- end -}}

{{- define "reconciler.mounts" -}}
# Whole folders, not single files: Kubernetes keeps only those up to date.
- {name: config, mountPath: /etc/reconciler/config, readOnly: true}
{{- if .secretFiles }}
- {name: secrets, mountPath: /etc/reconciler/secrets, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- end -}}
