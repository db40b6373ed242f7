{{- /* spec: which pods, what happens, to and from whom, for how long. */ -}}

{{- define "netchaos.spec" -}}
{{- $actions := "netem, delay, loss, duplicate, corrupt, partition or bandwidth" -}}
{{- $netem := "['netem', 'delay', 'loss', 'duplicate', 'corrupt']" -}}
type: object
description: What happens to the packets of which pods. Cannot change; delete the object and create it anew.
properties:
  action:
    {{- include "netchaos.word" (dict "words" "['netem', 'delay', 'loss', 'duplicate', 'corrupt', 'partition', 'bandwidth']" "is" "is not an action" "allowed" $actions "description" "Required. netem, delay, loss, duplicate and corrupt are one: whatever is given of delay, loss, duplicate, corrupt and rate happens. bandwidth uses only bandwidth, partition none of them.") | nindent 4 }}
  {{- include "netchaos.selection.properties" . | nindent 2 }}
  direction:
    default: to
    {{- include "netchaos.word" (dict "words" "['', 'to', 'from', 'both']" "is" "is not a direction" "allowed" "to, from or both" "description" "to: what the pods send to the targets; from: what comes in from the targets; both.") | nindent 4 }}
  target:
    type: object
    description: Pods as targets.
    properties:
      {{- include "netchaos.selection.properties" . | nindent 6 }}
    x-kubernetes-validations:
    {{- include "netchaos.selection.rules" . | nindent 4 }}
  externalTargets:
    type: array
    maxItems: 1024
    description: 'Addresses, prefixes and host names as targets, each also with ports: 1.2.3.4, 10.0.0.0/8:443, db.example.com, [2001:db8::1]:80,8000-8100.'
    items:
      {{- include "netchaos.target" . | nindent 6 }}
  device:
    {{- include "netchaos.device" "The device of the pods. Default: that of the default route." | nindent 4 }}
  targetDevice:
    {{- include "netchaos.device" "Not used: a fault is put on the pods of selector alone." | nindent 4 }}
  duration:
    type: string
    maxLength: 64
    description: How long, such as 10m or 1h30m. Default, and empty, is until the object is deleted.
    x-kubernetes-validations:
    - rule: self == '' || self.matches('^(([0-9]+[.]?[0-9]*|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+$') && duration(self) > duration('0s')
      {{- include "netchaos.says" (dict "it" "self" "is" "is not a duration" "allowed" "a number with ns, us, ms, s, m or h, such as 10m or 1h30m, more than 0; nothing lasts until the object is deleted") | nindent 6 }}
  remoteCluster:
    {{- include "netchaos.word" (dict "words" "['']" "is" "is another cluster, and netchaos works in the one that it is in" "allowed" "no remoteCluster" "description" "Not supported.") | replace "maxLength: 32" "maxLength: 253" | nindent 4 }}
  partitionBehavior:
    {{- include "netchaos.word" (dict "words" "['', 'drop']" "is" "is not supported by netchaos, whose partition is silent like a cut cable" "allowed" "drop" "description" "What becomes of packets of a partition.") | nindent 4 }}
  {{- include "netchaos.faults" . | nindent 2 }}
x-kubernetes-validations:
- rule: self == oldSelf
  reason: FieldValueForbidden
  message: cannot change; delete the NetworkChaos and create it anew
{{ include "netchaos.required" (dict "field" "action" "allowed" $actions) }}
{{ include "netchaos.selection.rules" . }}
- rule: >-
    !has(self.action) || !(self.action in {{ $netem }}) ||
    has(self.delay) || has(self.loss) || has(self.duplicate) || has(self.corrupt) || has(self.rate)
  reason: FieldValueRequired
  message: 'the fault is missing; allowed: one or more of delay, loss, duplicate, corrupt and rate'
- rule: >-
    !has(self.action) || !(self.action in {{ $netem }}) ||
    !(has(self.delay) || has(self.loss) || has(self.duplicate) || has(self.corrupt) || has(self.rate)) ||
    has(self.delay) && (!has(self.delay.latency) || self.delay.latency.matches('[1-9]')) ||
    has(self.loss) && (!has(self.loss.loss) || self.loss.loss.matches('^[^eE]*[1-9]')) ||
    has(self.duplicate) && (!has(self.duplicate.duplicate) || self.duplicate.duplicate.matches('^[^eE]*[1-9]')) ||
    has(self.corrupt) && (!has(self.corrupt.corrupt) || self.corrupt.corrupt.matches('^[^eE]*[1-9]')) ||
    has(self.rate) && (!has(self.rate.rate) || self.rate.rate.matches('[1-9]'))
  message: 'no fault is given; allowed: one or more of delay, loss, duplicate, corrupt and rate that is more than 0'
- rule: "!has(self.action) || self.action != 'bandwidth' || has(self.bandwidth)"
  fieldPath: .bandwidth
  reason: FieldValueRequired
  message: 'missing; allowed: a mapping with the fields rate, limit and buffer'
{{ include "netchaos.peakrate" . }}
{{- end }}
