import Core
import Operations

/// What the line of a request looks like.
public enum AccessLogForm: String, Sendable {
    /// One JSON object, as the log has.
    case json
    /// The combined format of other servers, which programs that count read.
    case combined
    case off
}

/// The access log of one event loop: a line a request, gathered and handed on a few times a second. It never holds a query, a token or
/// anything else that a client wrote, but for a request id of safe characters; in the place of a path it has the route.
struct AccessLog {
    struct Entry {
        var method: RequestHead.Method
        var route: RouteTable.Route?
        var status: Int
        var microseconds: Int
        var trace: TraceContext
        /// Of the answer's body.
        var bytesSent = 0
        var lane = UpstreamLane.ordinary
        /// As in a request line.
        var version: StaticString = "HTTP/1.1"
        /// These two are personal data, given only when ``PolicySettings/logsClients`` says so.
        var client: IPAddress?
        var user: [UInt8]?
    }

    var form = AccessLogForm.json
    private let output: LogOutput
    private var bytes: [UInt8] = []
    private var lines = 0
    private var lastTime: Timestamp?
    private var timeText: [UInt8] = []
    private static let flushSize = 32 * 1024

    init(output: LogOutput) { self.output = output }

    mutating func write(_ entry: Entry, requestID: UnsafeRawBufferPointer, tenant: [UInt8]?, now: Timestamp) {
        if form == .off { return }
        if bytes.capacity == 0 { bytes.reserveCapacity(Self.flushSize + 1024) }
        switch form {
        case .json: writeJSON(entry, requestID: requestID, tenant: tenant, now: now)
        case .combined: writeCombined(entry, now: now)
        case .off: break
        }
        lines += 1
        if bytes.count >= Self.flushSize { flush() }
    }

    private mutating func writeJSON(_ entry: Entry, requestID: UnsafeRawBufferPointer, tenant: [UInt8]?, now: Timestamp) {
        if lastTime != now {
            lastTime = now
            timeText = Array(now.description.utf8)
        }
        put("{\"time\":\"")
        bytes.append(contentsOf: timeText)
        put("\",\"level\":\"info\",\"message\":\"request\",\"method\":\"")
        put(Self.name(entry.method))
        put("\",\"route\":\"")
        put(route: entry.route)
        put("\",\"protocol\":\"")
        put(entry.version)
        put("\",\"status\":")
        put(decimal: entry.status)
        put(",\"bytes_sent\":")
        put(decimal: entry.bytesSent)
        put(",\"duration_us\":")
        put(decimal: entry.microseconds)
        // Most requests are not long, so it is told of those that are.
        if entry.lane != .ordinary {
            put(",\"lane\":\"")
            put(entry.lane.name)
            put("\"")
        }
        put(",\"request.id\":\"")
        bytes.append(contentsOf: requestID)
        if let tenant {
            put("\",\"tenant.id\":\"")
            bytes.append(contentsOf: tenant)
        }
        if let user = entry.user {
            put("\",\"user.id\":\"")
            bytes.append(contentsOf: user)
        }
        if let client = entry.client {
            put("\",\"client.address\":\"")
            bytes.append(contentsOf: client.text.utf8)
        }
        put("\",\"trace.id\":\"")
        put(hex: entry.trace.traceHigh)
        put(hex: entry.trace.traceLow)
        put("\"}\n")
    }

    /// `client - user [time] "METHOD route version" status bytes "-" "-"`: where others write what the client calls itself, nothing stands.
    private mutating func writeCombined(_ entry: Entry, now: Timestamp) {
        let second = Timestamp(milliseconds: now.milliseconds - now.milliseconds % 1000)
        if lastTime != second {
            lastTime = second
            timeText = Array(Self.combinedTime(second).utf8)
        }
        if let client = entry.client { bytes.append(contentsOf: client.text.utf8) } else { put("-") }
        put(" - ")
        if let user = entry.user { bytes.append(contentsOf: user) } else { put("-") }
        put(" [")
        bytes.append(contentsOf: timeText)
        put("] \"")
        put(Self.name(entry.method))
        put(" ")
        put(route: entry.route)
        put(" ")
        put(entry.version)
        put("\" ")
        put(decimal: entry.status)
        put(" ")
        put(decimal: entry.bytesSent)
        put(" \"-\" \"-\"\n")
    }

    /// `28/Nov/2026:09:05:07 +0000`, from `2026-11-28T09:05:07.000Z`.
    private static func combinedTime(_ time: Timestamp) -> String {
        let parts = time.description.split { $0 == "-" || $0 == "T" || $0 == "." }
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let month = Int(parts[1]).map { months[$0 - 1] } ?? ""
        return "\(parts[2])/\(month)/\(parts[0]):\(parts[3]) +0000"
    }

    mutating func flush() {
        guard lines > 0 else { return }
        output.write(bytes, lines: lines)
        bytes = []
        lines = 0
    }

    private static func name(_ method: RequestHead.Method) -> StaticString {
        switch method {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .patch: "PATCH"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .other: "other"
        }
    }

    private mutating func put(route: RouteTable.Route?) {
        if let route { bytes.append(contentsOf: route.bytes) } else { put("none") }
    }

    private mutating func put(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func put(decimal value: Int) {
        withUnsafeTemporaryAllocation(byteCount: 24, alignment: 1) { memory in
            var writer = HeadWriter(memory)
            writer.put(decimal: value)
            bytes.append(contentsOf: writer.written(since: 0))
        }
    }

    private mutating func put(hex value: UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { memory in
            var writer = HeadWriter(memory)
            writer.put(hex: value)
            bytes.append(contentsOf: writer.written(since: 0))
        }
    }
}
