{{- define "netchaos.selectorLabels" -}}
app.kubernetes.io/name: netchaos
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "netchaos.labels" -}}
{{ include "netchaos.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
