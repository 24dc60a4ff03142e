/// What one event loop, or all together, count of HTTP/2.
struct HTTP2Figures: Sendable {
    private(set) var connections = 0
    private(set) var streams = 0
    /// Connections ended for what their clients did, by the fault's label.
    private var ended: [String: Int] = [:]

    mutating func countConnection() { connections += 1 }
    mutating func countStream() { streams += 1 }
    mutating func count(_ fault: HTTP2Fault) { ended[fault.label, default: 0] += 1 }

    mutating func add(_ other: HTTP2Figures) {
        connections += other.connections
        streams += other.streams
        ended.merge(other.ended) { $0 + $1 }
    }

    /// The text format of Prometheus.
    var rendered: String {
        var text = """
            # HELP martlet_gateway_http2_connections_total Client connections that spoke HTTP/2.
            # TYPE martlet_gateway_http2_connections_total counter
            martlet_gateway_http2_connections_total \(connections)
            # HELP martlet_gateway_http2_streams_total Requests that came by HTTP/2.
            # TYPE martlet_gateway_http2_streams_total counter
            martlet_gateway_http2_streams_total \(streams)
            # HELP martlet_gateway_http2_ended_total HTTP/2 connections ended for what the client sent, by reason.
            # TYPE martlet_gateway_http2_ended_total counter

            """
        for label in HTTP2Fault.labels {
            text += "martlet_gateway_http2_ended_total{reason=\"\(label)\"} \(ended[label] ?? 0)\n"
        }
        return text
    }
}
