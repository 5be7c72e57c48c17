{{- $uuid := "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" -}}
{{- if not (regexMatch $uuid (toString .Token.grantId)) }}{{ fail "token: grantId is not a UUID" }}{{ end -}}
{{- if not (regexMatch $uuid (toString .Token.subjectUserId)) }}{{ fail "token: subjectUserId is not a UUID" }}{{ end -}}
{{- if not (regexMatch "^[12]([.](0|[1-9][0-9]{0,9})){3,20}$" (toString .Token.oidArc)) }}{{ fail "token: oidArc is not an OID" }}{{ end -}}
{{- if not (kindIs "float64" .Token.certExp) }}{{ fail "token: certExp is not a number" }}{{ end -}}
{
  "subject": {"commonName": {{ toJson .Token.grantId }}},
  "sans": [
    {"type": {{ printf "%s.1" .Token.oidArc | toJson }}, "value": {{ printf "utf8:%s" .Token.grantId | toJson }}},
    {"type": {{ printf "%s.2" .Token.oidArc | toJson }}, "value": {{ printf "utf8:%s" .Token.subjectUserId | toJson }}}
  ],
  "notAfter": {{ formatTime .Token.certExp | toJson }},
  "basicConstraints": {"isCA": false},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"],
  "crlDistributionPoints": [$CRL_URL]
}
