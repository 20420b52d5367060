package main

// boards are all there are. Their UIDs are addresses in Grafana and the names of
// their files: they stay.
func boards() []board { return []board{boxBoard(), sitesBoard(), cloudBoard()} }

// boxBoard is about boxes that Prometheus scrapes itself.
func boxBoard() board {
	return newBoard("signalbox-box", "Signalbox: boxes", []variable{choice("instance", "Box", "signalbox_build_info")},
		number("Absent", "none", `count(up{job="signalbox", instance=~"$instance"} == 0) or vector(0)`, 1, 1),
		number("Ailing parts", "none", `count(signalbox_part_ok{instance=~"$instance"} == 0) or vector(0)`, 1, 3),
		number("Fullest", "percentunit", `max(instance:signalbox_used:ratio{instance=~"$instance"})`, 0.8, 0.9),
		number("Sessions", "none", `sum(signalbox_signaling_sessions{instance=~"$instance", state="online"})`, 1e9, 1e9),
		number("Relayed", "bps", `8 * sum(rate(signalbox_turn_relayed_bytes_total{instance=~"$instance"}[$__rate_interval]))`, 1e12, 1e12),
		number("Without cloud", "none", `count(signalbox_upstream_joined{instance=~"$instance"} == 1 and sum without (way) (signalbox_upstream_connected) == 0) or vector(0)`, 1, 1),
		graph("Use of limits", "percentunit", query{`max by (instance, resource) (instance:signalbox_used:ratio{instance=~"$instance"})`, "{{instance}} {{resource}}"}),
		graph("Use of limits in 15 minutes", "percentunit",
			query{`predict_linear(instance:signalbox_used:ratio{instance=~"$instance"}[15m], 900)`, "{{instance}} {{resource}}"}),
		graph("Sessions and rooms", "none",
			query{`sum by (instance, state) (signalbox_signaling_sessions{instance=~"$instance"})`, "{{instance}} {{state}}"},
			query{`signalbox_signaling_rooms{instance=~"$instance"}`, "{{instance}} rooms"}),
		graph("Signaling frames by type", "pps",
			query{`sum by (type) (rate(signalbox_signaling_frames_total{instance=~"$instance"}[$__rate_interval]))`, "{{type}}"}),
		graph("Relay by transport", "bps",
			query{`8 * sum by (transport, direction) (rate(signalbox_turn_relayed_bytes_total{instance=~"$instance"}[$__rate_interval]))`, "{{transport}} {{direction}}"}),
		graph("Allocations", "none",
			query{`signalbox_turn_allocations{instance=~"$instance"}`, "{{instance}}"},
			query{`signalbox_turn_users{instance=~"$instance"}`, "{{instance}} users"}),
		graph("Relay: drops by reason", "pps",
			query{`sum by (reason) (rate(signalbox_turn_dropped_total{instance=~"$instance"}[$__rate_interval])) > 0`, "{{reason}}"},
			query{`sum(rate(signalbox_turn_overflowed_total{instance=~"$instance"}[$__rate_interval])) > 0`, "kernel"}),
		graph("Refusals", "ops",
			query{`sum by (code) (rate(signalbox_turn_refused_total{instance=~"$instance", code!~"401|438"}[$__rate_interval])) > 0`, "relay {{code}}"},
			query{`sum by (code) (rate(signalbox_signaling_refused_frames_total{instance=~"$instance"}[$__rate_interval])) > 0`, "frames: {{code}}"}),
		graph("Sockets given up and closed", "ops",
			query{`sum by (reason) (rate(signalbox_signaling_dropped_total{instance=~"$instance"}[$__rate_interval])) > 0`, "{{reason}}"},
			query{`sum by (code) (rate(signalbox_signaling_closed_total{instance=~"$instance"}[$__rate_interval])) > 0`, "closed {{code}}"}),
		graph("Resumes", "ops",
			query{`sum by (result) (rate(signalbox_signaling_resumes_total{instance=~"$instance"}[$__rate_interval]))`, "{{result}}"},
			query{`sum(rate(signalbox_signaling_expired_sessions_total{instance=~"$instance"}[$__rate_interval]))`, "expired"}),
		graph("Written to disk", "Bps",
			query{`rate(signalbox_store_written_bytes_total{instance=~"$instance"}[$__rate_interval])`, "{{instance}} store"},
			query{`rate(signalbox_upstream_written_bytes_total{instance=~"$instance"}[$__rate_interval])`, "{{instance}} outbox"}),
		graph("Reports that wait for the cloud", "none", query{`signalbox_upstream_queue_frames{instance=~"$instance"}`, "{{instance}}"}),
		graph("Memory", "bytes",
			query{`process_resident_memory_bytes{instance=~"$instance"} and on (instance, job) signalbox_build_info`, "{{instance}}"},
			query{`go_memstats_heap_inuse_bytes{instance=~"$instance"} and on (instance, job) signalbox_build_info`, "{{instance}} heap"}),
		graph("Processor", "percentunit",
			query{`rate(process_cpu_seconds_total{instance=~"$instance"}[$__rate_interval]) and on (instance, job) signalbox_build_info`, "{{instance}}"}),
		table("Certificates: seconds left", `signalbox_https_certificate_end_seconds{instance=~"$instance"} - time()`),
	)
}

// sitesBoard is about what a cloud knows of its sites.
func sitesBoard() board {
	sites := `{site=~"$site"}`
	return newBoard("signalbox-sites", "Signalbox: sites", []variable{choice("site", "Site", "signalbox_site_health")},
		number("Sites that need help", "none", `count(signalbox_site_health`+sites+` == 3) or vector(0)`, 1, 1),
		number("Sites to look at", "none", `count(signalbox_site_health`+sites+` == 2) or vector(0)`, 1, 10),
		number("Boxes away", "none", `count(signalbox_site_box_online`+sites+` == 0) or vector(0)`, 1, 5),
		number("Devices today", "none", `sum(signalbox_site_devices_today`+sites+`)`, 1e9, 1e9),
		number("Relayed", "bps", `sum(signalbox_site_relay_bps`+sites+`)`, 1e12, 1e12),
		number("Fullest", "percentunit", `max(box:signalbox_used:ratio`+sites+`)`, 0.8, 0.9),
		table("Sites with problems", `sort_desc(max by (site) (signalbox_site_problems`+sites+`) > 0)`),
		graph("The fullest ten", "percentunit", query{`topk(10, box:signalbox_used:ratio` + sites + `)`, "{{site}}/{{box}} {{resource}}"}),
		graph("The fullest ten in 15 minutes", "percentunit", query{`topk(10, predict_linear(box:signalbox_used:ratio` + sites + `[15m], 900))`, "{{site}}/{{box}} {{resource}}"}),
		graph("Sessions", "none", query{`sum by (site) (signalbox_site_sessions_online` + sites + `)`, "{{site}}"}),
		graph("Relay", "bps", query{`sum by (site) (signalbox_site_relay_bps` + sites + `)`, "{{site}}"}),
		graph("Calls: offers and answers", "ops",
			query{`sum(rate(signalbox_site_signaling_offers_total` + sites + `[$__rate_interval]))`, "offers"},
			query{`sum(rate(signalbox_site_signaling_answers_total` + sites + `[$__rate_interval]))`, "answers"}),
		graph("Relay: refusals", "ops",
			query{`sum(rate(signalbox_site_relay_refused_auth_total` + sites + `[$__rate_interval]))`, "credentials"},
			query{`sum(rate(signalbox_site_relay_refused_quota_total` + sites + `[$__rate_interval]))`, "quota"},
			query{`sum(rate(signalbox_site_relay_refused_policy_total` + sites + `[$__rate_interval]))`, "policy"},
			query{`sum(rate(signalbox_site_relay_refused_capacity_total` + sites + `[$__rate_interval]))`, "capacity"}),
		graph("Reports that wait", "none", query{`sum by (site) (signalbox_site_upstream_queue_frames` + sites + `)`, "{{site}}"}),
		graph("Temperature", "celsius", query{`signalbox_site_box_temperature_mc` + sites + ` / 1000`, "{{site}}/{{box}}"}),
		graph("Processor", "percentunit", query{`signalbox_site_box_cpu_permille` + sites + ` / 1000`, "{{site}}/{{box}}"}),
		graph("Boxes by version", "none", query{`count by (version) (signalbox_site_box_info` + sites + `)`, "{{version}}"}),
		table("Certificates: seconds left", `sort(signalbox_site_box_certificate_end_timestamp_seconds`+sites+` - time())`),
		table("Seconds since the last backup", `sort_desc(time() - signalbox_site_box_backup_timestamp_seconds`+sites+`)`),
	)
}

// cloudBoard is about the nodes of a cloud.
func cloudBoard() board {
	const node = `{instance=~"$instance"}`
	return newBoard("signalbox-cloud", "Signalbox: cloud nodes", []variable{choice("instance", "Node", "signalbox_cloud_tunnels")},
		number("Absent", "none", `count(up{job=~"signalbox-cloud.*", instance=~"$instance"} == 0) or vector(0)`, 1, 1),
		number("Tunnels", "none", `sum(signalbox_cloud_tunnels`+node+`)`, 1e9, 1e9),
		number("Messages behind", "none", `max(signalbox_cloud_projection_lag`+node+`)`, 100, 1000),
		number("Writers of closed hours", "none", `sum(signalbox_cloud_leader`+node+`)`, 2, 2),
		number("Streams", "none", `sum(signalbox_cloud_streams`+node+`)`, 1e9, 1e9),
		number("Failed webhooks, 1 h", "none", `sum(increase(signalbox_cloud_webhook_deliveries_total{instance=~"$instance", outcome="failed"}[1h]))`, 1, 10),
		graph("Tunnels", "none", query{`signalbox_cloud_tunnels` + node, "{{instance}}"}),
		graph("Tunnels that ended", "ops", query{`sum by (reason) (rate(signalbox_cloud_tunnels_closed_total` + node + `[$__rate_interval])) > 0`, "{{reason}}"}),
		graph("Boxes refused", "ops",
			query{`sum by (reason) (rate(signalbox_cloud_gateway_refused_total` + node + `[$__rate_interval])) > 0`, "{{reason}}"},
			query{`sum by (reason) (rate(signalbox_cloud_identity_refused_total` + node + `[$__rate_interval])) > 0`, "joining: {{reason}}"}),
		graph("To and from boxes", "Bps", query{`sum by (direction) (rate(signalbox_cloud_tunnel_bytes_total` + node + `[$__rate_interval]))`, "{{direction}}"}),
		graph("Messages applied", "ops", query{`rate(signalbox_cloud_projection_messages_total` + node + `[$__rate_interval])`, "{{instance}}"}),
		graph("Messages behind", "none", query{`signalbox_cloud_projection_lag` + node, "{{instance}}"}),
		graph("API requests", "reqps", query{`sum by (route, code) (rate(signalbox_cloud_http_requests_total` + node + `[$__rate_interval]))`, "{{route}} {{code}}"}),
		graph("API, slowest 1 %", "s", query{`histogram_quantile(0.99, sum by (route, le) (rate(signalbox_cloud_http_request_seconds_bucket` + node + `[$__rate_interval])))`, "{{route}}"}),
		graph("Memory", "bytes", query{`process_resident_memory_bytes` + node + ` and on (instance, job) signalbox_cloud_tunnels`, "{{instance}}"}),
		graph("Processor", "percentunit", query{`rate(process_cpu_seconds_total` + node + `[$__rate_interval]) and on (instance, job) signalbox_cloud_tunnels`, "{{instance}}"}),
		graph("Open files", "percentunit", query{`instance:signalbox_cloud_fds:ratio` + node, "{{instance}}"}),
	)
}
