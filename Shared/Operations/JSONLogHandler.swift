import Core
import Logging
import Synchronization

/// Writes one JSON object a line to standard output: `time`, `level`, `message`, `service`, then the metadata.
public struct JSONLogHandler: LogHandler {
    /// From which level on all loggers of the process write that have none of their own; may be changed while they do.
    public static var processLevel: Logger.Level {
        get { Logger.Level.allCases[level.load(ordering: .relaxed)] }
        set { level.store(Logger.Level.allCases.firstIndex(of: newValue) ?? 0, ordering: .relaxed) }
    }

    private static let level = Atomic<Int>(Logger.Level.allCases.firstIndex(of: .info) ?? 0)

    public var logLevel: Logger.Level {
        get { ownLevel ?? Self.processLevel }
        set { ownLevel = newValue }
    }
    public var metadata: Logger.Metadata = [:]
    private var ownLevel: Logger.Level?
    private let service: String
    private let label: String
    private let output: LogOutput

    public init(service: String, label: String, output: LogOutput = .standard) {
        self.service = service
        self.label = label
        self.output = output
    }

    /// Makes it the handler of every logger of the process. Called once, at the start of `main`.
    public static func bootstrap(service: String, level: Logger.Level) {
        processLevel = level
        let output = LogOutput.standard
        LoggingSystem.bootstrap { JSONLogHandler(service: service, label: $0, output: output) }
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
        // One piece a line, so that lines of several threads do not mix.
        output.write(writer.bytes + [UInt8(ascii: "\n")])
    }
}
