{{- /* The parameters of the faults, as properties of spec. */ -}}

{{- define "netchaos.faults" -}}
{{- $bytes := "bytes as a whole number from 1 to 4294967295, without quotes" -}}
{{- $rate := "a rate such as 10mbps" -}}
{{- $percent := "a percentage in quotes, such as \"25\"" -}}
delay:
  type: object
  description: Extra time for each packet (netem).
  properties:
    latency:
      {{- include "netchaos.time" (dict "most" "1h" "is" "is not a latency" "description" "Required. The time. 0 is none, and then there is neither jitter nor reorder.") | nindent 6 }}
    jitter:
      {{- include "netchaos.time" (dict "most" "2.147483647s" "is" "is not a jitter" "description" "The time of a packet is latency ± jitter, evenly spread.") | nindent 6 }}
    correlation:
      {{- include "netchaos.percent" "How much of the random number of one packet is carried to that of the next." | nindent 6 }}
    reorder:
      type: object
      description: Packets that go at once and overtake the delayed ones (netem).
      properties:
        reorder:
          {{- include "netchaos.percent" "Required. How many packets overtake." | nindent 10 }}
        correlation:
          {{- include "netchaos.percent" "How much of the random number of one packet is carried to that of the next." | nindent 10 }}
        gap:
          {{- include "netchaos.number" (dict "least" 0 "most" 4294967295 "description" "Required. Every so many packets one may overtake; 0 and 1 are every packet.") | nindent 10 }}
      x-kubernetes-validations:
      {{- include "netchaos.required" (dict "field" "reorder" "allowed" $percent) | nindent 6 }}
      {{- include "netchaos.required" (dict "field" "gap" "allowed" "a whole number from 0 to 4294967295, without quotes") | nindent 6 }}
  x-kubernetes-validations:
  {{- include "netchaos.required" (dict "field" "latency" "allowed" "one number with ns, us, ms, s, m or h, such as 50ms") | nindent 2 }}
{{- range $name, $words := dict "loss" (list "Packets that are lost, without a word to the sender." "How many packets are lost." "How much more often packets are lost one after the other; the share stays.") "duplicate" (list "Packets that come twice (netem)." "How many packets come twice." "Not used, since netem would change the share.") "corrupt" (list "Packets with a flipped bit (netem)." "How many packets get a flipped bit." "Not used, since netem would change the share.") }}
{{ $name }}:
  type: object
  description: {{ index $words 0 }}
  properties:
    {{ $name }}:
      {{- include "netchaos.percent" (printf "Required. %s" (index $words 1)) | nindent 6 }}
    correlation:
      {{- include "netchaos.percent" (index $words 2) | nindent 6 }}
  x-kubernetes-validations:
  {{- include "netchaos.required" (dict "field" $name "allowed" $percent) | nindent 2 }}
{{- end }}
rate:
  type: object
  description: A link of this speed, on which each packet takes the time of its bytes (netem).
  properties:
    rate:
      {{- include "netchaos.rate" (dict "zero" true "description" "Required. The speed. 0 is none.") | nindent 6 }}
  x-kubernetes-validations:
  {{- include "netchaos.required" (dict "field" "rate" "allowed" $rate) | nindent 2 }}
bandwidth:
  type: object
  description: A token bucket (tbf), for the action bandwidth.
  properties:
    rate:
      {{- include "netchaos.rate" (dict "zero" false "description" "Required. How fast the bucket is filled.") | nindent 6 }}
    limit:
      {{- include "netchaos.number" (dict "least" 1 "most" 4294967295 "description" "Required. Bytes that may wait; what comes beyond is dropped.") | nindent 6 }}
    buffer:
      {{- include "netchaos.number" (dict "least" 1 "most" 4294967295 "description" "Required. Bytes of the bucket, at least those of the longest frame of the device.") | nindent 6 }}
    peakrate:
      {{- include "netchaos.number" (dict "least" 0 "description" "Bits per second at which the bucket may be emptied, more than rate. Counts only with minburst.") | nindent 6 }}
    minburst:
      {{- include "netchaos.number" (dict "least" 0 "most" 4294967295 "description" "Bytes of the bucket for peakrate. Counts only with peakrate.") | nindent 6 }}
  x-kubernetes-validations:
  {{- include "netchaos.required" (dict "field" "rate" "allowed" $rate) | nindent 2 }}
  {{- include "netchaos.required" (dict "field" "limit" "allowed" $bytes) | nindent 2 }}
  {{- include "netchaos.required" (dict "field" "buffer" "allowed" $bytes) | nindent 2 }}
  - rule: "!has(self.peakrate) || !has(self.minburst) || self.minburst <= 0 || self.peakrate <= 0 || self.peakrate >= 8"
    fieldPath: .peakrate
    message: 'is less than a byte per second; allowed: bits per second, at least 8'
{{- end }}

{{- /* Whether the bucket may be emptied faster than it is filled, which matters to whom it is made for. */ -}}
{{- define "netchaos.peakrate" -}}
- rule: {{ printf "!has(self.action) || self.action != 'bandwidth' || !has(self.bandwidth) || [self.bandwidth].all(it, !has(it.peakrate) || !has(it.minburst) || it.peakrate <= 0 || it.minburst <= 0 || !has(it.rate) || !%s || double(it.peakrate) > %s)" (include "netchaos.isRate" "it.rate") (include "netchaos.bits" "it.rate") | quote }}
  fieldPath: .bandwidth.peakrate
  message: 'is not above the rate; allowed: bits per second, more than rate'
{{- end }}
