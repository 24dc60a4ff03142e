import Foundation

/// How much memory a gateway may come to need: the sum that its manifests are made by.
enum MemoryLimit {
    private static let base = 40 << 20
    /// A connection that is kept, with what its last request left.
    private static let connection = 16 << 10
    /// What TLS keeps beside it.
    private static let encryption = 25 << 10
    /// 10,000 verified tokens of about 3 kB, in each event loop.
    private static let tokens = 30 << 20
    /// 20,000 limits of about 500 bytes, in each event loop.
    private static let limits = 10 << 20

    static func needed(by configuration: GatewayConfiguration) -> Int {
        base + configuration.policy.connectionLimit * connection(of: configuration) + bodies(of: configuration)
            + configuration.policy.answersLimit + configuration.eventLoops * (tokens + limits)
    }

    static func arithmetic(of configuration: GatewayConfiguration) -> String {
        "\(base >> 20) + \(configuration.policy.connectionLimit) connections of \(connection(of: configuration) >> 10) KiB + \(bodies(of: configuration) >> 20) of bodies"
            + " + \(configuration.policy.answersLimit >> 20) of answers"
            + " + \(configuration.eventLoops) loops of \((tokens + limits) >> 20) for tokens and limits"
    }

    private static func connection(of configuration: GatewayConfiguration) -> Int {
        connection + (configuration.certificateFiles == nil ? 0 : encryption)
    }

    private static func bodies(of configuration: GatewayConfiguration) -> Int {
        max(configuration.policy.bodiesLimit, 4 * configuration.policy.bodyLimit * configuration.eventLoops)
    }

    /// Bytes that the container may use, or those of the machine; `nil` where that is not told.
    static var available: Int? {
        let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].compactMap { path in
            (try? String(contentsOfFile: path, encoding: .ascii)).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        }
        return (limits + [Int(clamping: ProcessInfo.processInfo.physicalMemory)]).filter { $0 > 0 }.min()
    }
}
