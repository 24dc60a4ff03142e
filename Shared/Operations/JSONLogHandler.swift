import Core
import Foundation
import Logging

/// Writes one JSON object a line to standard output: `time`, `level`, `message`, `service`, then the metadata.
public struct JSONLogHandler: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    private let service: String
    private let label: String

    public init(service: String, label: String, level: Logger.Level) {
        self.service = service
        self.label = label
        logLevel = level
    }

    /// Makes it the handler of every logger of the process. Called once, at the start of `main`.
    public static func bootstrap(service: String, level: Logger.Level) {
        LoggingSystem.bootstrap { JSONLogHandler(service: service, label: $0, level: level) }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var writer = JSONWriter()
        writer.object { object in
            object.member("time", Timestamp.now.description)
            object.member("level", event.level.rawValue)
            object.member("message", event.message.description)
            object.member("service", service)
            object.member("logger", label)
            let all = event.metadata.map { metadata.merging($0) { $1 } } ?? metadata
            for (key, value) in all.sorted(by: { $0.key < $1.key }) { object.member(key, value.description) }
        }
        var line = writer.bytes
        line.append(UInt8(ascii: "\n"))
        // One write a line, so that lines of several threads do not mix.
        line.withUnsafeBytes { _ = write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }
}
