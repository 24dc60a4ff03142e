import Foundation
import Synchronization

/// A process that a test starts and always stops, by its id.
public final class ChildProcess: Sendable {
    private struct State {
        var process: Process?
    }

    private let executable: String
    private let arguments: [String]
    private let environment: [String: String]
    private let logFile: String
    private let state = Mutex(State())

    /// - Parameter logFile: where its output goes; appended to.
    public init(_ executable: String, _ arguments: [String] = [], environment: [String: String] = [:], logFile: String) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.logFile = logFile
    }

    public func start() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        if !FileManager.default.fileExists(atPath: logFile) { _ = FileManager.default.createFile(atPath: logFile, contents: nil) }
        let output = try FileHandle(forWritingTo: URL(fileURLWithPath: logFile))
        try output.seekToEnd()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        state.withLock { $0.process = process }
    }

    public var isRunning: Bool { state.withLock { $0.process?.isRunning ?? false } }
    public var processID: Int32 { state.withLock { $0.process?.processIdentifier ?? 0 } }

    /// Sends a signal and waits until the process has ended.
    ///
    /// - Returns: its exit status, or the signal's number when a signal ended it.
    @discardableResult
    public func stop(signal: Int32 = SIGTERM) async -> Int32 {
        guard let process = state.withLock({ $0.process }) else { return 0 }
        if process.isRunning { kill(process.processIdentifier, signal) }
        return await withCheckedContinuation { continuation in
            // waitUntilExit blocks, so it gets a thread of its own.
            Thread.detachNewThread {
                process.waitUntilExit()
                continuation.resume(returning: process.terminationStatus)
            }
        }
    }

    /// What it has written so far.
    public var output: String { (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? "" }

    /// Runs a command to its end.
    ///
    /// - Throws: ``CommandFailed`` with its output when it fails.
    @discardableResult
    public static func run(_ executable: String, _ arguments: [String], environment: [String: String] = [:], input: String? = nil)
        async throws -> String
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        let inputPipe = Pipe()
        process.standardInput = inputPipe
        try process.run()
        if let input { try inputPipe.fileHandleForWriting.write(contentsOf: Data(input.utf8)) }
        try inputPipe.fileHandleForWriting.close()
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                process.waitUntilExit()
                if process.terminationStatus == 0 {
                    continuation.resume(returning: text)
                } else {
                    continuation.resume(throwing: CommandFailed(command: ([executable] + arguments).joined(separator: " "), output: text))
                }
            }
        }
    }

    public struct CommandFailed: Error, CustomStringConvertible {
        public var command: String
        public var output: String
        public var description: String { "\(command) failed: \(output)" }
    }
}
