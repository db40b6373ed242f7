{{- /* selector, mode and value: of spec and of spec.target, as properties and as rules. */ -}}

{{- define "netchaos.selection.properties" -}}
mode:
  {{- include "netchaos.word" (dict "words" "['one', 'all', 'fixed', 'fixed-percent', 'random-max-percent']" "is" "is not a mode" "allowed" "one, all, fixed, fixed-percent or random-max-percent" "description" "Required. How many of the pods that were found: one (any), all, fixed (value of them), fixed-percent (value percent, rounded up), random-max-percent (a random percentage up to value).") | nindent 2 }}
value:
  type: string
  maxLength: 32
  description: A number in quotes, for the modes fixed (1 or more), fixed-percent and random-max-percent (1 to 100).
selector:
  type: object
  description: Required. What a pod has to fit; all that is given has to hold.
  properties:
    namespaces:
      {{- include "netchaos.strings" "Namespaces of the pods. Default: that of the object." | nindent 6 }}
    labelSelectors:
      {{- include "netchaos.map" "Labels of the pods." | nindent 6 }}
    annotationSelectors:
      {{- include "netchaos.map" "Annotations of the pods." | nindent 6 }}
    fieldSelectors:
      {{- include "netchaos.map" "Fields of the pods, as kubectl get pods --field-selector has them." | nindent 6 }}
    expressionSelectors:
      type: array
      maxItems: 64
      description: Conditions on the labels of the pods.
      items:
        type: object
        properties:
          key:
            type: string
            maxLength: 317
            description: Required. The key of a label.
          operator:
            {{- include "netchaos.word" (dict "words" "['In', 'NotIn', 'Exists', 'DoesNotExist']" "is" "is not an operator" "allowed" "In, NotIn, Exists or DoesNotExist" "description" "Required. In, NotIn, Exists or DoesNotExist.") | nindent 12 }}
          values:
            {{- include "netchaos.strings" "For In and NotIn." | nindent 12 }}
        x-kubernetes-validations:
        {{- include "netchaos.required" (dict "field" "key" "allowed" "the key of a label") | nindent 8 }}
        {{- include "netchaos.required" (dict "field" "operator" "allowed" "In, NotIn, Exists or DoesNotExist") | nindent 8 }}
    nodes:
      {{- include "netchaos.strings" "Names of the nodes that the pods run on." | nindent 6 }}
    nodeSelectors:
      {{- include "netchaos.map" "Labels of the nodes that the pods run on." | nindent 6 }}
    podPhaseSelectors:
      {{- include "netchaos.strings" "Phases of the pods, such as Running." | nindent 6 }}
    pods:
      type: object
      maxProperties: 64
      description: Names of pods by namespace. Where there are some, nothing else of the selector counts.
      additionalProperties:
        type: array
        maxItems: 1024
        items: {type: string, maxLength: 253}
{{- end }}

{{- define "netchaos.selection.rules" -}}
{{- $one := "a whole number of 1 or more, in quotes" -}}
{{- $percent := "a whole number from 1 to 100, in quotes" -}}
{{- $says := printf "'\"' + self.value + '\" does not go with mode ' + self.mode + '; allowed: ' + (self.mode == 'fixed' ? '%s' : '%s')" $one $percent -}}
{{- include "netchaos.required" (dict "field" "mode" "allowed" "one, all, fixed, fixed-percent or random-max-percent") }}
{{ include "netchaos.required" (dict "field" "selector" "allowed" "a mapping such as {namespaces: [default]}") }}
- rule: has(self.value) || !has(self.mode) || !(self.mode in ['fixed', 'fixed-percent', 'random-max-percent'])
  fieldPath: .value
  reason: FieldValueRequired
  message: 'missing, as the mode needs it; allowed: {{ $one }}, at most 100 for a percentage'
- rule: >-
    !has(self.value) || !has(self.mode) ||
    (self.mode == 'fixed' ? self.value.matches('^[+]?0*[1-9][0-9]{0,17}$') :
    !(self.mode in ['fixed-percent', 'random-max-percent']) || self.value.matches('^[+]?0*([1-9][0-9]?|100)$'))
  fieldPath: .value
  message: 'does not go with the mode; allowed: {{ $one }}, at most 100 for a percentage'
  messageExpression: {{ $says | quote }}
{{- end }}

{{- define "netchaos.strings" -}}
type: array
maxItems: 1024
description: {{ . | squote }}
items: {type: string, maxLength: 317}
{{- end }}

{{- define "netchaos.map" -}}
type: object
maxProperties: 64
description: {{ . | squote }}
additionalProperties: {type: string, maxLength: 1024}
{{- end }}
