import Core
import Operations

/// The routes whose body or answer is a stream, which the gateway has to know before it sends a request on. A service declares them in the
/// same way (``Core/Route``); a test holds the two together.
public struct StreamedRoute: Sendable, Hashable {
    public let service: ServiceName
    public let method: Method
    /// A template, such as `/v1/imports/{id}/file`.
    public let path: String
    public let streaming: Streaming
    /// The parts of the path between slashes; `nil` for a parameter.
    private let segments: [[UInt8]?]

    public init(_ service: ServiceName, _ method: Method, _ path: String, _ streaming: Streaming) {
        self.service = service
        self.method = method
        self.path = path
        self.streaming = streaming
        segments = path.split(separator: "/").map { $0.hasPrefix("{") ? nil : Array($0.utf8) }
    }

    /// All that there are.
    public static let all: [StreamedRoute] = []

    /// Whether a request is for this route. Compares bytes, as the service's own table does.
    ///
    /// - Parameters:
    ///   - method: as it stands in the request line.
    ///   - target: the path, without a query.
    public func matches(_ method: some Sequence<UInt8>, _ target: UnsafeRawBufferPointer) -> Bool {
        guard method.elementsEqual(self.method.rawValue.utf8), target.first == UInt8(ascii: "/") else { return false }
        var start = 1
        for (index, segment) in segments.enumerated() {
            let end = target[start...].firstIndex(of: UInt8(ascii: "/")) ?? target.count
            let given = target[start..<end]
            guard segment.map({ given.elementsEqual($0) }) ?? !given.isEmpty else { return false }
            guard end < target.count else { return index == segments.count - 1 }
            start = end + 1
        }
        return false
    }
}
