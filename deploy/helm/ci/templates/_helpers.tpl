{{- define "ci.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "ci.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "ci.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ci.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* The labels of an object. Takes a list: the root, and the part (cid, agent). */ -}}
{{- define "ci.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ $root.Values.images.tag | default $root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: ci
{{ include "ci.selector" . }}
{{- end -}}

{{- define "ci.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "ci.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "ci.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.images.prefix }}{{ index . 1 }}:{{ $root.Values.images.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- /* The name of a Secret: the one that exists, or the chart's. Takes: root, part of the values, last part of the name. */ -}}
{{- define "ci.secret" -}}
{{- $root := index . 0 -}}
{{- (index . 1).existingSecret | default (printf "%s-%s" (include "ci.fullname" $root) (index . 2)) -}}
{{- end -}}

{{- /* Fails unless a part of the values has what it needs, or names a Secret. Takes: part, its name, keys… */ -}}
{{- define "ci.need" -}}
{{- $part := index . 0 -}}
{{- $name := index . 1 -}}
{{- range $key := slice . 2 -}}
{{- if not (or $part.existingSecret (index $part $key)) -}}
{{- fail (printf "%s.%s is missing: set it, or name a Secret that has it in %s.existingSecret" $name $key $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ci.needs" -}}
{{- include "ci.need" (list .Values.database "database" "url") -}}
{{- include "ci.need" (list .Values.queue "queue" "url") -}}
{{- include "ci.need" (list .Values.keys "keys" "tokenKey" "secretKey") -}}
{{- if or .Values.serviceMonitor.enabled (and .Values.agent.enabled .Values.agent.autoscaling.enabled) -}}
{{- include "ci.need" (list .Values.readToken "readToken" "token") -}}
{{- end -}}
{{- if and .Values.agent.enabled (eq .Values.agent.connection "token") -}}
{{- include "ci.needsTokens" . -}}
{{- end -}}
{{- if and .Values.agent.enabled (le (int .Values.agent.terminationGracePeriodSeconds) (int .Values.agent.abortLead)) -}}
{{- fail (printf "agent.terminationGracePeriodSeconds (%d) has to be longer than agent.abortLead (%d): a pod that leaves would abort its runs at once" (int .Values.agent.terminationGracePeriodSeconds) (int .Values.agent.abortLead)) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is missing: the name that people reach the API by" -}}
{{- end -}}
{{- end -}}

{{- define "ci.needsTokens" -}}
{{- $agents := int .Values.agent.replicas -}}
{{- if .Values.agent.autoscaling.enabled -}}
{{- $agents = int .Values.agent.autoscaling.maxReplicas -}}
{{- end -}}
{{- if not (or .Values.agent.tokens.existingSecret (ge (len .Values.agent.tokens.list) $agents)) -}}
{{- fail (printf "agent.tokens.list has %d tokens for %d agents: each needs one of its own, the first is for %s-agent-0; or name a Secret that has them in agent.tokens.existingSecret" (len .Values.agent.tokens.list) $agents (include "ci.fullname" .)) -}}
{{- end -}}
{{- end -}}

{{- /* What agents are: pods that are removed emptiest first, or pods with names that are known before. */ -}}
{{- define "ci.agentKind" -}}
{{- ternary "StatefulSet" "Deployment" (eq .Values.agent.connection "token") -}}
{{- end -}}

{{- /* Whether cid writes the deletion costs of agents' pods: "true" or nothing. */ -}}
{{- define "ci.costs" -}}
{{- if and .Values.agent.enabled .Values.agent.deletionCost (eq .Values.agent.connection "direct") -}}true{{- end -}}
{{- end -}}

{{- /* Database, queue and objects as variables. Takes: root, prefix of the variables. */ -}}
{{- define "ci.environment" -}}
{{- $root := index . 0 -}}
{{- $prefix := index . 1 -}}
{{- $values := $root.Values -}}
- name: {{ $prefix }}_DATABASE
  valueFrom: { secretKeyRef: { name: {{ include "ci.secret" (list $root $values.database "database") }}, key: {{ $values.database.key }} } }
- name: {{ $prefix }}_QUEUE
  valueFrom: { secretKeyRef: { name: {{ include "ci.secret" (list $root $values.queue "queue") }}, key: {{ $values.queue.key }} } }
- { name: {{ $prefix }}_BLOBS, value: {{ $values.blobs.url | quote }} }
- { name: {{ $prefix }}_URL, value: {{ $values.url | quote }} }
- { name: {{ $prefix }}_LEASE, value: {{ $values.lease | quote }} }
{{- if or $values.blobs.existingSecret $values.blobs.accessKey }}
- name: CI_S3_ACCESS_KEY
  valueFrom: { secretKeyRef: { name: {{ include "ci.secret" (list $root $values.blobs "blobs") }}, key: {{ $values.blobs.accessKeyKey }} } }
- name: CI_S3_SECRET_KEY
  valueFrom: { secretKeyRef: { name: {{ include "ci.secret" (list $root $values.blobs "blobs") }}, key: {{ $values.blobs.secretKeyKey }} } }
{{- end }}
{{- end -}}

{{- /* A pod begins anew when a Secret of the chart changes. */ -}}
{{- define "ci.checksum" -}}
checksum/secrets: {{ include (print .Template.BasePath "/secrets.yaml") . | sha256sum }}
{{- end -}}

{{- define "ci.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A size like 8Gi or 8192Mi in mebibytes; the schema allows no other unit. */ -}}
{{- define "ci.mebibytes" -}}
{{- if hasSuffix "Gi" . -}}
{{- mulf (trimSuffix "Gi" . | float64) 1024 -}}
{{- else -}}
{{- trimSuffix "Mi" . -}}
{{- end -}}
{{- end -}}
