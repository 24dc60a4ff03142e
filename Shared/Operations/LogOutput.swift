import Core
import Dispatch
import Foundation
import Synchronization

/// Where finished lines go: a descriptor, written by a thread of its own, so that nobody who logs waits for whoever reads. When that one
/// cannot keep up, lines are dropped and counted, and a line says so as soon as it can.
public final class LogOutput: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var pendingLines = 0
        var isWriting = false
        var droppedLines = 0
        /// Of ``droppedLines``, those that no line has told of yet.
        var untoldLines = 0
    }

    /// Standard output. It is written out when the process exits, and as far as possible when it traps.
    public static let standard: LogOutput = {
        let output = LogOutput(descriptor: STDOUT_FILENO)
        atexit { LogOutput.standard.flush(within: .seconds(2)) }
        TrapHandler.install()
        return output
    }()

    private let queue = DispatchQueue(label: "log")
    private let state = Mutex(State())
    /// Bytes that are not written yet; read where no lock can be taken.
    private let unwritten = Atomic<Int>(0)
    private let descriptor: CInt
    private let limit: Int

    /// - Parameter limit: Bytes that may wait.
    public init(descriptor: CInt, limit: Int = 4 << 20) {
        self.descriptor = descriptor
        self.limit = limit
    }

    /// Lines that were not written.
    public var droppedLines: Int { state.withLock { $0.droppedLines } }

    /// Takes whole lines, each with its line break; returns at once.
    public func write(_ bytes: [UInt8], lines: Int = 1) {
        let isFirst = state.withLock { state in
            guard state.pending.count + bytes.count <= limit else {
                state.droppedLines += lines
                state.untoldLines += lines
                return false
            }
            state.pending.append(contentsOf: bytes)
            state.pendingLines += lines
            unwritten.add(bytes.count, ordering: .relaxed)
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if isFirst { queue.async { self.drain() } }
    }

    private func drain() {
        while true {
            let (bytes, lines) = state.withLock { state in
                let untold = state.untoldLines
                if untold > 0 {
                    state.untoldLines = 0
                    let line = Self.note(dropped: untold)
                    state.pending.append(contentsOf: line)
                    unwritten.add(line.count, ordering: .relaxed)
                }
                defer { (state.pending, state.pendingLines) = ([], 0) }
                if state.pending.isEmpty { state.isWriting = false }
                return (state.pending, state.pendingLines)
            }
            if bytes.isEmpty { return }
            if !writeAll(bytes) { state.withLock { $0.droppedLines += lines } }
            unwritten.subtract(bytes.count, ordering: .relaxed)
        }
    }

    private static func note(dropped: Int) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { object in
            object.member("time", Timestamp.now.description)
            object.member("level", "warning")
            object.member("message", "Log lines were dropped, since nobody read the output fast enough")
            object.member("count", "\(dropped)")
        }
        return writer.bytes + [UInt8(ascii: "\n")]
    }

    /// - Returns: `false` when the output has ended.
    private func writeAll(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {
                    // Whoever shares it has made it non-blocking.
                    var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&wanted, 1, -1)
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }

    /// Waits until all that was given before has been written; blocks the thread, so it is for the end of a process and for tests.
    ///
    /// - Returns: `false` when the time was not enough.
    @discardableResult
    public func flush(within limit: DispatchTimeInterval) -> Bool {
        let done = DispatchSemaphore(value: 0)
        queue.async { done.signal() }
        return done.wait(timeout: .now() + limit) == .success
    }

    /// Gives the thread that writes a moment, at most 200 ms. Safe where a signal has interrupted anything: it takes no lock and no memory.
    fileprivate func awaitUnwritten() {
        for _ in 0..<200 where unwritten.load(ordering: .relaxed) > 0 { usleep(1000) }
    }
}

/// What was logged before a trap is written before the process ends: the line that explains it is most likely the last one.
private enum TrapHandler {
    private static let signals = [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE]

    static func install() {
        for number in signals where isUnhandled(number) {
            signal(number) { number in
                LogOutput.standard.awaitUnwritten()
                // The end that it would have been, as soon as the handler returns.
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    /// A handler that somebody else has installed, such as the one that prints backtraces, stays.
    private static func isUnhandled(_ number: CInt) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        // The handler is the first member everywhere, under a name that differs; 0 is the default.
        return withUnsafeBytes(of: &action) { $0.load(as: UInt.self) == 0 }
    }
}
