package charts

// manifests are what charts bring beside their definitions, in the shapes in which they
// ship. webhooked is the plural that the webhooks are about, policy what happens when
// they do not answer.
func manifests(name, group, webhooked, policy string) []object {
	namespace, labels := "charts-"+name, object{"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "charts"}
	o := func(apiVersion, kind, name string, namespaced bool, more object) object {
		m := object{"name": name, "labels": labels}
		if namespaced {
			m["namespace"] = namespace
		}
		return with(object{"apiVersion": apiVersion, "kind": kind, "metadata": m}, more)
	}
	const rbac = "rbac.authorization.k8s.io"
	role := func(kind, name string) object { return object{"apiGroup": rbac, "kind": kind, "name": name} }
	account := []any{object{"kind": "ServiceAccount", "name": name, "namespace": namespace}}
	view := o(rbac+"/v1", "ClusterRole", "charts-"+name+"-view", false, object{"rules": []any{rights(group, "*", "get", "list", "watch")}})
	view["metadata"].(object)["labels"] = with(object{"rbac.authorization.k8s.io/aggregate-to-view": "true"}, labels)
	return []object{
		o("v1", "Namespace", namespace, false, nil),
		o("v1", "ServiceAccount", name, true, object{"automountServiceAccountToken": false}),
		o(rbac+"/v1", "ClusterRole", "charts-"+name, false, object{"rules": []any{
			rights(group, "*", "*"), rights("", "events", "create", "patch"), rights("", "secrets", "get", "list", "watch", "create", "update", "delete", "patch"),
			rights("coordination.k8s.io", "leases", "get", "create", "update"),
			object{"nonResourceURLs": []any{"/metrics", "/metrics/slis"}, "verbs": []any{"get"}}}}),
		view,
		o(rbac+"/v1", "ClusterRoleBinding", "charts-"+name, false, object{"roleRef": role("ClusterRole", "charts-"+name), "subjects": account}),
		o(rbac+"/v1", "Role", name+"-leader", true, object{"rules": []any{with(rights("coordination.k8s.io", "leases", "get", "update", "patch"), object{"resourceNames": []any{name}})}}),
		o(rbac+"/v1", "RoleBinding", name+"-leader", true, object{"roleRef": role("Role", name+"-leader"), "subjects": account}),
		o("v1", "ConfigMap", name, true, object{"data": object{"config.yaml": "logging:\n  format: text\n"}}),
		o("v1", "Service", name, true, object{"spec": object{"type": "ClusterIP", "selector": labels, "ports": []any{
			object{"name": "https", "port": 443, "targetPort": "webhook"}, object{"name": "metrics", "port": 9402, "targetPort": 9402}}}}),
		o("apps/v1", "Deployment", name, true, object{"spec": deployment(name, labels)}),
		o("policy/v1", "PodDisruptionBudget", name, true, object{"spec": object{"minAvailable": "50%", "selector": object{"matchLabels": labels}}}),
		o("networking.k8s.io/v1", "NetworkPolicy", name, true, object{"spec": object{"podSelector": object{"matchLabels": labels}, "policyTypes": []any{"Ingress"},
			"ingress": []any{object{"ports": []any{object{"port": "webhook", "protocol": "TCP"}}}}}}),
		o("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "charts-"+name, false, object{"webhooks": []any{webhook(name, group, webhooked, policy, nil)}}),
		o("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "charts-"+name, false, object{"webhooks": []any{webhook(name, group, webhooked, policy,
			object{"reinvocationPolicy": "Never", "matchConditions": []any{object{"name": "not-ours", "expression": "!request.userInfo.username.startsWith('system:node:')"}}})}}),
	}
}

func rights(group, plural string, verbs ...any) object {
	return object{"apiGroups": []any{group}, "resources": []any{plural}, "verbs": verbs}
}

func webhook(name, group, plural, policy string, more object) object {
	return with(object{"name": "webhook." + group, "admissionReviewVersions": []any{"v1"}, "sideEffects": "None", "failurePolicy": policy, "matchPolicy": "Equivalent", "timeoutSeconds": 5,
		"clientConfig":      object{"service": object{"name": name, "namespace": "charts-" + name, "path": "/validate"}},
		"namespaceSelector": object{"matchExpressions": []any{object{"key": "charts.example/skip", "operator": "DoesNotExist"}}},
		"rules":             []any{object{"apiGroups": []any{group}, "apiVersions": []any{"*"}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{plural}}}}, more)
}

func deployment(name string, labels object) object {
	probe := func(path string) object {
		return object{"httpGet": object{"path": path, "port": "healthz", "scheme": "HTTP"}, "initialDelaySeconds": 10, "periodSeconds": 10, "failureThreshold": 8}
	}
	return object{"replicas": 1, "revisionHistoryLimit": 3, "selector": object{"matchLabels": labels},
		"strategy": object{"type": "RollingUpdate", "rollingUpdate": object{"maxUnavailable": "25%", "maxSurge": 1}},
		"template": object{"metadata": object{"labels": labels, "annotations": object{"prometheus.io/port": "9402"}}, "spec": object{
			"serviceAccountName": name, "enableServiceLinks": false, "nodeSelector": object{"kubernetes.io/os": "linux"},
			"securityContext": object{"runAsNonRoot": true, "seccompProfile": object{"type": "RuntimeDefault"}},
			"volumes":         []any{object{"name": "config", "configMap": object{"name": name}}, object{"name": "tmp", "emptyDir": object{}}},
			"containers": []any{object{"name": "controller", "image": "charts.invalid/" + name + ":v1", "imagePullPolicy": "IfNotPresent",
				"args":            []any{"--v=2", "--leader-election-namespace=$(POD_NAMESPACE)"},
				"env":             []any{object{"name": "POD_NAMESPACE", "valueFrom": object{"fieldRef": object{"fieldPath": "metadata.namespace"}}}},
				"ports":           []any{object{"name": "webhook", "containerPort": 10250}, object{"name": "healthz", "containerPort": 9403}},
				"securityContext": object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []any{"ALL"}}},
				"resources":       object{"requests": object{"cpu": "10m", "memory": "32Mi"}, "limits": object{"memory": "128Mi"}},
				"livenessProbe":   probe("/livez"), "readinessProbe": probe("/readyz"),
				"volumeMounts": []any{object{"name": "config", "mountPath": "/config", "readOnly": true}, object{"name": "tmp", "mountPath": "/tmp"}}}}}}}
}
