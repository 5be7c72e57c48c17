{{- if not (kindIs "float64" .Token.certExp) }}{{ fail "token: certExp is not a number" }}{{ end -}}
{{- if not .Token.sans }}{{ fail "token: sans is missing" }}{{ end -}}
{{- range .SANs }}{{ if not (or (eq .Type "dns") (eq .Type "ip")) }}{{ fail "token: a name is neither DNS nor IP" }}{{ end }}{{ end -}}
{
  "subject": {"commonName": {{ toJson .Token.sub }}},
  "sans": {{ toJson .SANs }},
  "notAfter": {{ formatTime .Token.certExp | toJson }},
  "basicConstraints": {"isCA": false},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["serverAuth"],
  "crlDistributionPoints": [$CRL_URL]
}
