import Core
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where finished lines go: standard output, written by a thread of its own. When that cannot keep up, lines are dropped and
/// counted; a request never waits for a log.
final class AccessLogOutput: Sendable {
    private struct State {
        var queuedBytes = 0
        var droppedLines = 0
    }

    private static let queueLimit = 4 << 20

    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let state = Mutex(State())
    private let descriptor: CInt

    init(descriptor: CInt = STDOUT_FILENO) {
        self.descriptor = descriptor
        pool.start()
    }

    var droppedLines: Int { state.withLock { $0.droppedLines } }

    func write(_ bytes: [UInt8], lines: Int) {
        let isAccepted = state.withLock { state in
            guard state.queuedBytes + bytes.count <= Self.queueLimit else {
                state.droppedLines += lines
                return false
            }
            state.queuedBytes += bytes.count
            return true
        }
        guard isAccepted else { return }
        pool.submit { _ in
            self.writeAll(bytes)
            self.state.withLock { $0.queuedBytes -= bytes.count }
        }
    }

    private func writeAll(_ bytes: [UInt8]) {
        #if canImport(Glibc)
            let write = Glibc.write
        #elseif canImport(Musl)
            let write = Musl.write
        #else
            let write = Darwin.write
        #endif
        bytes.withUnsafeBytes { bytes in
            var position = 0
            while position < bytes.count {
                let count = write(descriptor, bytes.baseAddress.map { $0 + position }, bytes.count - position)
                if count > 0 { position += count } else if errno != EINTR { return }
            }
        }
    }

    /// Ends the thread after what is queued has been written.
    func close() async { try? await pool.shutdownGracefully() }
}

/// The access log of one event loop: one JSON line a request, gathered and handed on a few times a second. It never holds a query,
/// a token, an address or anything else that a client wrote, but for a request id of safe characters.
struct AccessLog {
    struct Entry {
        var method: RequestHead.Method
        var route: RouteTable.Route?
        var status: Int
        var microseconds: Int
        var trace: TraceContext
    }

    private let output: AccessLogOutput?
    private var bytes: [UInt8] = []
    private var lines = 0
    private var second: Timestamp?
    private var secondText: [UInt8] = []
    private static let flushSize = 32 * 1024

    /// - Parameter output: `nil` turns the log off.
    init(output: AccessLogOutput?) { self.output = output }

    mutating func write(_ entry: Entry, requestID: UnsafeRawBufferPointer, tenant: [UInt8]?, now: Timestamp) {
        guard output != nil else { return }
        if bytes.capacity == 0 { bytes.reserveCapacity(Self.flushSize + 1024) }
        if second != now {
            second = now
            secondText = Array(now.description.utf8)
        }
        put("{\"time\":\"")
        bytes.append(contentsOf: secondText)
        put("\",\"level\":\"info\",\"message\":\"request\",\"method\":\"")
        put(Self.name(entry.method))
        put("\",\"route\":\"")
        if let route = entry.route { bytes.append(contentsOf: route.bytes) } else { put("none") }
        put("\",\"status\":")
        put(decimal: entry.status)
        put(",\"duration_us\":")
        put(decimal: entry.microseconds)
        put(",\"request.id\":\"")
        bytes.append(contentsOf: requestID)
        if let tenant {
            put("\",\"tenant.id\":\"")
            bytes.append(contentsOf: tenant)
        }
        put("\",\"trace.id\":\"")
        put(hex: entry.trace.traceHigh)
        put(hex: entry.trace.traceLow)
        put("\"}\n")
        lines += 1
        if bytes.count >= Self.flushSize { flush() }
    }

    mutating func flush() {
        guard lines > 0, let output else { return }
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
