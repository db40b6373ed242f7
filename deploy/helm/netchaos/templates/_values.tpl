{{- /*
The forms of values in a NetworkChaos, as schemas with rules in CEL. Each says what netchaos' own reader
says (netchaos-userspace/src/experiment): the value, what is wrong, what is allowed. A rule that fails ends in
its message; the API server puts the path of the field in front of it.

Rules have to be cheap: every string has a maxLength, every list a maxItems. What has a line break cannot be
shown in a messageExpression; the API server then takes the message.
*/ -}}

{{- /* Takes a dict: it (the expression of the value), is (what is wrong), allowed. */ -}}
{{- define "netchaos.says" -}}
message: {{ printf "%s; allowed: %s" .is .allowed | squote }}
messageExpression: {{ printf "'\"' + %s + '\" %s; allowed: %s'" .it .is .allowed | quote }}
{{- end }}

{{- /* A field that has to be there. Takes a dict: field, allowed. */ -}}
{{- define "netchaos.required" -}}
- rule: has(self.{{ .field }})
  fieldPath: .{{ .field }}
  reason: FieldValueRequired
  message: {{ printf "missing; allowed: %s" .allowed | squote }}
{{- end }}

{{- /* One of some words. Takes a dict: words (CEL), is, allowed, description. */ -}}
{{- define "netchaos.word" -}}
type: string
maxLength: 32
description: {{ .description | squote }}
x-kubernetes-validations:
- rule: self in {{ .words }}
  {{- include "netchaos.says" (dict "it" "self" "is" .is "allowed" .allowed) | nindent 2 }}
{{- end }}

{{- /* Takes what the percentage is of. */ -}}
{{- define "netchaos.percent" -}}
{{- $number := `(?i)^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?$` -}}
type: string
maxLength: 32
description: {{ printf "%s A number from 0 to 100, in percent and in quotes, such as \"0.5\", which is half a percent. Empty is 0." . | squote }}
x-kubernetes-validations:
- rule: self == '' || self.matches('{{ $number }}') && double(self) >= 0.0 && double(self) <= 100.0
  {{- include "netchaos.says" (dict "it" "self" "is" "is not a percentage" "allowed" "a number from 0 to 100, in percent, without a sign, such as 25 or 0.5") | nindent 2 }}
{{- end }}

{{- /* One number with a unit, as Chaos Mesh has it. Takes a dict: most, is, description. */ -}}
{{- define "netchaos.time" -}}
type: string
maxLength: 32
description: {{ printf "%s One number with ns, us, ms, s, m or h, at most %s." .description .most | squote }}
x-kubernetes-validations:
- rule: self.matches('^[0-9]+([.][0-9]+)?(ns|us|ms|s|m|h)$') && duration(self) <= duration('{{ .most }}')
  {{- include "netchaos.says" (dict "it" "self" "is" .is "allowed" (printf "one number with ns, us, ms, s, m or h, such as 50ms, at most %s" .most)) | nindent 2 }}
{{- end }}

{{- /* Bits per second of a rate in the form of tc, as a double. Takes the expression of the text. */ -}}
{{- define "netchaos.bits" -}}
double({{ . }}.find('[0-9]+([.][0-9]+)?')) * {'bit': 1.0, 'kbit': 1e3, 'mbit': 1e6, 'gbit': 1e9, 'tbit': 1e12, 'bps': 8.0, 'kbps': 8e3, 'mbps': 8e6, 'gbps': 8e9, 'tbps': 8e12}[{{ . }}.lowerAscii().find('[kmgt]?(bit|bps)')]
{{- end }}

{{- define "netchaos.isRate" -}}
{{ . }}.matches('(?i)^\\s*[0-9]+([.][0-9]+)?\\s*[kmgt]?(bit|bps)\\s*$')
{{- end }}

{{- /* A rate in the form of tc. Takes a dict: zero (is it a rate?), description. */ -}}
{{- define "netchaos.rate" -}}
{{- $least := ternary "bits == 0.0 || bits >= 8.0" "bits >= 8.0" .zero -}}
type: string
maxLength: 64
description: {{ printf "%s A number with bit, kbit, mbit, gbit or tbit (bits per second), or bps, kbps, mbps, gbps or tbps (bytes per second)." .description | squote }}
x-kubernetes-validations:
- rule: {{ printf "%s && [%s].all(bits, (%s) && bits < 18446744073709551616.0)" (include "netchaos.isRate" "self") (include "netchaos.bits" "self") $least | quote }}
  {{- include "netchaos.says" (dict "it" "self" "is" "is not a rate" "allowed" (printf "a number with bit, kbit, mbit, gbit or tbit (bits per second), or bps, kbps, mbps, gbps or tbps (bytes per second), such as 10mbit, a byte per second or more%s" (ternary ", or 0 for none" "" .zero))) | nindent 2 }}
{{- end }}

{{- /* A whole number. The API server says itself what is wrong with one: field, value and bound. */ -}}
{{- define "netchaos.number" -}}
type: integer
format: int64
minimum: {{ .least }}
{{- with .most }}
maximum: {{ . }}
{{- end }}
description: {{ .description | squote }}
{{- end }}

{{- /* A device as `ip link` prints it. Takes the description. */ -}}
{{- define "netchaos.device" -}}
type: string
maxLength: 64
description: {{ . | squote }}
x-kubernetes-validations:
- rule: self == '' || self.matches('^[^\\s/:@]{1,15}(@.*)?$') && !self.matches('^[.]{1,2}(@.*)?$')
  {{- include "netchaos.says" (dict "it" "self" "is" "is not the name of a device" "allowed" "1 to 15 bytes without slash, colon and white space, such as eth0") | nindent 2 }}
{{- end }}

{{- /* One of externalTargets. CEL has no variables: what is worked out once is the one item of a list. */ -}}
{{- define "netchaos.target" -}}
{{- $peer := `self.startsWith('[') ? self.find('[^\\[\\]]+') : self.matches('^[^:]*:[^:]*$') ? self.find('^[^:]*') : self` -}}
{{- /* Brackets are around an address with colons; else one colon begins the ports, and more are an IPv6 address. */ -}}
{{- $shape := `self.matches('^(\\[[^\\[\\]]*:[^\\[\\]]*\\](:[^:\\[\\]]*)?|[^:\\[\\]]*(:[^:\\[\\]]*)?|[^\\[\\]]*:[^\\[\\]]*:[^\\[\\]]*)$')` -}}
{{- /* CEL takes no IPv4-mapped IPv6 address (::ffff:1.2.3.4); netchaos reads the IPv4 address out of it. */ -}}
{{- $address := `[peer.lowerAscii().replace('::ffff:', '::')].exists(address, isIP(address) || isCIDR(address))` -}}
{{- $label := `[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?` -}}
{{- $port := `0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])` -}}
{{- $range := printf `%s(-%s)?` $port $port -}}
{{- $name := printf `size(peer) < 255 && peer.matches('^%s([.]%s)*[.]?$') && !peer.matches('(^|[.])[0-9]+[.]?$')` $label $label -}}
type: string
maxLength: 320
x-kubernetes-validations:
- rule: {{ printf "%s && [%s].all(peer, %s || %s)" $shape $peer $address $name | quote }}
  {{- include "netchaos.says" (dict "it" "self" "is" "is neither an address, a prefix nor a host name" "allowed" "an address (1.2.3.4, 2001:db8::1), a prefix (10.0.0.0/8) or a host name, each also with ports (1.2.3.4:443, [2001:db8::1]:80,443, db.example.com:8000-8100)") | nindent 2 }}
- rule: {{ `!self.matches('(?i)^\\[?([0-9a-f:.]+/0+|::ffff:[0-9.]+/96)(\\]?:[0-9,-]*|\\])?$')` | quote }}
  {{- include "netchaos.says" (dict "it" "self" "is" "means all traffic, which has to be asked for in words" "allowed" "a prefix of length 1 or more; for all traffic no target, and the annotation netchaos.io/all-traffic: true in quotes") | nindent 2 }}
- rule: {{ printf `!self.matches('^([^:]*|\\[.*\\]):[^:]*$') || self.matches(':0+$') || self.matches(':(%s(,|$))+$') && !self.endsWith(',') && (!self.matches(':[0-9]+-[0-9]+$') || int(self.find('[0-9]+-[0-9]+$').find('^[0-9]+')) <= int(self.find('[0-9]+$')))` $range | quote }}
  {{- include "netchaos.says" (dict "it" "self" "is" "has wrong ports after its colon" "allowed" "ports from 1 to 65535, such as 443, 80,443 or 8000-8100, with commas between them; 0 is every port") | nindent 2 }}
{{- end }}
