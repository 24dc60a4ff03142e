import NIOCore
import Operations

/// What the process as a whole tells beside the counters of its loops.
struct ProcessMetrics: Sendable {
    var isReady: Bool
    var droppedLogLines: Int
    var sources: [(source: RevocationState.Source, readAt: NIODeadline?, failures: Int)]
    var figures: ProcessFigures
}

extension RequestMetrics {
    /// The text format of Prometheus.
    func rendered(routes: [RouteTable.Route], process: ProcessMetrics, now: NIODeadline = .now()) -> String {
        var text = MetricsText(prefix: "martlet_gateway_")
        text.family("requests_total", "counter", "Requests by route and class of status.")
        for route in 0...routeCount {
            for (index, name) in Self.statusClasses.enumerated() {
                let count = requests[route * Self.statusClasses.count + index]
                if count == 0 { continue }
                text.line("requests_total", ["route": route < routeCount ? routes[route].prefix : "none", "status": name], count)
            }
        }
        text.family("request_duration_seconds", "histogram", "Time from the head of a request to the end of its answer.")
        for place in durations.indices {
            let service = place < ServiceName.allCases.count ? ServiceName.allCases[place].rawValue : "gateway"
            text.histogram("request_duration_seconds", ["service": service], durations[place])
        }
        text.single("ready", "gauge", "1 when requests are accepted.", process.isReady ? 1 : 0)
        text.single("connections", "gauge", "Client connections.", connections)
        text.single("refused_connections_total", "counter", "Connections closed because there were too many.", refusedConnections)
        text.single("in_flight", "gauge", "Requests under way.", inFlight)
        text.single("open_streams", "gauge", "Answers under way that go on for as long as they are taken.", openStreams)
        text.single("bodies_awaited", "gauge", "Requests whose bodies are not whole yet.", awaitedBodies)
        text.single("bodies_bytes", "gauge", "Bytes of the bodies of requests under way.", heldBytes)
        text.single(
            "slow_readers_ended_total", "counter", "Answers cut off because their clients did not read while others waited.",
            slowReadersEnded)
        text.single("answers_bytes", "gauge", "Bytes of answers that clients have not taken yet.", untakenBytes)
        text.single("retries_total", "counter", "Requests sent to an upstream a second time.", retries)
        text.single("tokens_verified_total", "counter", "Access tokens whose signature was checked and good.", verifiedTokens)
        text.single("tokens_refused_total", "counter", "Access tokens refused.", refusedTokens)
        text.single("tokens_cached", "gauge", "Verified access tokens held.", cachedTokens)
        text.single("limit_buckets", "gauge", "Limits held.", limitBuckets)
        text.family("limited_total", "counter", "Requests refused by a limit, by whose limit it was.")
        for kind in LimitKind.allCases { text.line("limited_total", ["limit": kind.rawValue], limited[kind.index]) }
        text.single("lease_draws_total", "counter", "Leases asked of Redis.", leaseDraws)
        text.single("lease_draws_failed_total", "counter", "Leases that Redis did not give.", failedLeaseDraws)
        text.single("log_dropped_total", "counter", "Log lines dropped because the output was too slow.", process.droppedLogLines)
        render(process.sources, now: now, into: &text)
        renderUpstreams(into: &text)
        return text.text + http2.rendered + process.figures.rendered
    }

    private func render(
        _ sources: [(source: RevocationState.Source, readAt: NIODeadline?, failures: Int)], now: NIODeadline, into text: inout MetricsText
    ) {
        text.family("state_age_seconds", "gauge", "Since the gateway has last read what each source says of revocations and keys.")
        for source in sources {
            guard let readAt = source.readAt else { continue }
            text.line("state_age_seconds", ["source": source.source.rawValue], (now - readAt).nanoseconds / 1_000_000_000)
        }
        text.family("state_reads_failed_total", "counter", "Attempts to read a source of that state that failed.")
        for source in sources { text.line("state_reads_failed_total", ["source": source.source.rawValue], source.failures) }
    }

    private func renderUpstreams(into text: inout MetricsText) {
        text.family("upstream_waiting", "gauge", "Requests that wait for a connection to a service, by lane.")
        for figures in upstreams {
            for lane in UpstreamLane.allCases {
                text.line(
                    "upstream_waiting", ["service": figures.service.rawValue, "lane": "\(lane.name)"], figures.waiting[lane.rawValue])
            }
        }
        text.family("upstream_refused_total", "counter", "Requests that a service was not asked, by the reason.")
        for figures in upstreams {
            let reasons = [
                ("overloaded", figures.overloaded), ("waited", figures.waitedInVain), ("tenant_busy", figures.tenantBusy),
                ("unreachable", figures.unreachable),
            ]
            for (reason, count) in reasons {
                text.line("upstream_refused_total", ["service": figures.service.rawValue, "reason": reason], count)
            }
        }
        let addresses: [(KeyValuePairs<String, String>, UpstreamFigures.Endpoint)] = upstreams.flatMap { figures in
            figures.endpoints.map { (["service": figures.service.rawValue, "address": $0.address], $0) }
        }
        text.family("upstream_connections", "gauge", "Connections to an address of a service.")
        for (labels, address) in addresses { text.line("upstream_connections", labels, address.connections) }
        text.family("upstream_in_flight", "gauge", "Requests that an address of a service is working on, by lane.")
        for figures in upstreams {
            for address in figures.endpoints {
                for lane in UpstreamLane.allCases {
                    text.line(
                        "upstream_in_flight",
                        ["service": figures.service.rawValue, "address": address.address, "lane": "\(lane.name)"],
                        address.inUse[lane.rawValue])
                }
            }
        }
        text.family("upstream_limit", "gauge", "Requests at a time that an address of a service is given.")
        for (labels, address) in addresses { text.line("upstream_limit", labels, address.concurrencyLimit) }
        text.family("upstream_ejected", "gauge", "1 when an address of a service is held back.")
        for (labels, address) in addresses { text.line("upstream_ejected", labels, address.state == .healthy ? 0 : 1) }
        text.family("upstream_failures_total", "counter", "Connections that could not be made, and answers that did not come whole.")
        for (labels, address) in addresses { text.line("upstream_failures_total", labels, address.failures) }
        text.family("upstream_duration_seconds", "histogram", "Time from a request's sending to the head of its answer.")
        for (labels, address) in addresses { text.histogram("upstream_duration_seconds", labels, address.roundTrips) }
    }
}

/// Lines in the text format of Prometheus.
private struct MetricsText {
    let prefix: String
    private(set) var text = ""

    init(prefix: String) { self.prefix = prefix }

    mutating func family(_ name: String, _ kind: String, _ help: String) {
        text += "# HELP \(prefix)\(name) \(help)\n# TYPE \(prefix)\(name) \(kind)\n"
    }

    mutating func line(_ name: String, _ labels: KeyValuePairs<String, String>, _ value: some CustomStringConvertible) {
        text += "\(prefix)\(name){\(labels.map { "\($0.key)=\"\($0.value)\"" }.joined(separator: ","))} \(value)\n"
    }

    mutating func single(_ name: String, _ kind: String, _ help: String, _ value: Int) {
        family(name, kind, help)
        text += "\(prefix)\(name) \(value)\n"
    }

    mutating func histogram(_ name: String, _ labels: KeyValuePairs<String, String>, _ histogram: LatencyHistogram) {
        let names = labels.map { "\($0.key)=\"\($0.value)\"" }.joined(separator: ",")
        var count = 0
        for (index, inBucket) in histogram.counts.enumerated() {
            count += inBucket
            let bound = index < LatencyHistogram.bounds.count ? "\(Double(LatencyHistogram.bounds[index]) / 1e6)" : "+Inf"
            text += "\(prefix)\(name)_bucket{\(names),le=\"\(bound)\"} \(count)\n"
        }
        text += "\(prefix)\(name)_sum{\(names)} \(Double(histogram.sum) / 1e6)\n\(prefix)\(name)_count{\(names)} \(count)\n"
    }
}
