import Foundation
import Synchronization

/// A process that a test starts and always stops, by its id.
///
/// Made with `posix_spawn` and `waitpid`: Foundation's `Process` can miss the end of a process that is killed, and then waits for ever.
public final class ChildProcess: Sendable {
    private struct State {
        var processID: pid_t = 0
        var isRunning = false
        /// The exit status, or the number of the signal that ended it.
        var status: Int32 = 0
        var waiters: [CheckedContinuation<Int32, Never>] = []
    }

    private let executable: String
    private let arguments: [String]
    private let environment: [String: String]
    private let logFile: String
    private let inputFile: String
    private let state = Mutex(State())

    /// - Parameters:
    ///   - environment: added to the test's own.
    ///   - logFile: where its output goes; appended to.
    ///   - inputFile: what it reads as standard input.
    public init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:], logFile: String,
        inputFile: String = "/dev/null"
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.logFile = logFile
        self.inputFile = inputFile
    }

    /// - Throws: ``CommandFailed`` when the process cannot be made.
    public func start() throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, inputFile, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, logFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Threads of the runtime block signals, and a child inherits that: it would not hear SIGTERM.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var processID = pid_t()
        let result = Self.withCStrings([executable] + arguments) { arguments in
            Self.withCStrings(variables) { variables in
                posix_spawn(&processID, executable, &actions, &attributes, arguments, variables)
            }
        }
        guard result == 0 else { throw CommandFailed(command: executable, output: String(cString: strerror(result))) }
        let started = processID
        state.withLock { state in
            state.processID = started
            state.isRunning = true
        }
        // waitpid blocks, so it gets a thread of its own.
        Thread.detachNewThread { [self] in
            var status: Int32 = 0
            while waitpid(started, &status, 0) < 0, errno == EINTR {}
            let ended = status & 0x7F == 0 ? (status >> 8) & 0xFF : status & 0x7F
            let waiters = state.withLock { state in
                state.isRunning = false
                state.status = ended
                defer { state.waiters = [] }
                return state.waiters
            }
            for waiter in waiters { waiter.resume(returning: ended) }
        }
    }

    private static func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }

    public var isRunning: Bool { state.withLock { $0.isRunning } }
    public var processID: Int32 { state.withLock { $0.processID } }

    /// Waits until the process has ended.
    ///
    /// - Returns: its exit status, or the signal's number when a signal ended it.
    @discardableResult
    public func end() async -> Int32 {
        await withCheckedContinuation { continuation in
            let status: Int32? = state.withLock { state in
                guard state.isRunning else { return state.status }
                state.waiters.append(continuation)
                return nil
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    /// Sends a signal and waits until the process has ended; nothing when it does not run.
    @discardableResult
    public func stop(signal: Int32 = SIGTERM) async -> Int32 {
        // Under the lock the id is still the process's own: it is given back only after the wait, which takes the lock.
        state.withLock { state in if state.isRunning { _ = kill(state.processID, signal) } }
        return await end()
    }

    /// What it has written so far.
    public var output: String { (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? "" }

    /// Runs a command to its end.
    ///
    /// - Returns: what it wrote to standard output and error.
    /// - Throws: ``CommandFailed`` with its output when it fails.
    @discardableResult
    public static func run(_ executable: String, _ arguments: [String], environment: [String: String] = [:], input: String? = nil)
        async throws
        -> String
    {
        let base = NSTemporaryDirectory() + "martlet-command-\(UUID().uuidString)"
        defer { for file in [".in", ".out"] { try? FileManager.default.removeItem(atPath: base + file) } }
        if let input { try input.write(toFile: base + ".in", atomically: false, encoding: .utf8) }
        let process = ChildProcess(
            executable, arguments, environment: environment, logFile: base + ".out", inputFile: input == nil ? "/dev/null" : base + ".in")
        try process.start()
        let status = await process.end()
        guard status == 0 else { throw CommandFailed(command: ([executable] + arguments).joined(separator: " "), output: process.output) }
        return process.output
    }

    public struct CommandFailed: Error, CustomStringConvertible {
        public var command: String
        public var output: String
        public var description: String { "\(command) failed: \(output)" }
    }
}
