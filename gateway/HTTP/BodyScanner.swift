import Core

/// Follows a message body through its framing without I/O: how many of the bytes at hand belong to it, and when it ends.
///
/// Chunked framing is checked byte by byte and then passed on as it is: sizes of one to eight hexadecimal digits, no extensions,
/// CR LF only, no trailer fields. What passes has one reading only.
struct BodyScanner {
    private enum State {
        case done
        case length(left: Int)
        case chunkSize(value: Int, digits: Int)
        case chunkSizeLineFeed(value: Int)
        case chunkData(left: Int)
        case chunkDataCarriageReturn
        case chunkDataLineFeed
        case lastCarriageReturn
        case lastLineFeed
    }

    struct Fault: Error {}

    private var state: State
    /// Bytes of content so far, without framing.
    private(set) var contentBytes = 0

    static let none = BodyScanner(state: .done)
    static let chunked = BodyScanner(state: .chunkSize(value: 0, digits: 0))
    static func length(_ length: Int) -> BodyScanner { BodyScanner(state: length == 0 ? .done : .length(left: length)) }

    private init(state: State) { self.state = state }

    var isDone: Bool { if case .done = state { true } else { false } }

    /// Takes what belongs to the body from the front of the bytes.
    ///
    /// - Parameter content: Called with each range of content, without framing.
    /// - Returns: How many bytes belong to the body with its framing.
    mutating func scan(_ bytes: UnsafeRawBufferPointer, content: (Range<Int>) -> Void = { _ in }) throws(Fault) -> Int {
        var position = 0
        while position < bytes.count {
            switch state {
            case .done: return position
            case .length(let left):
                let taken = min(left, bytes.count - position)
                content(position..<position + taken)
                contentBytes += taken
                position += taken
                state = taken == left ? .done : .length(left: left - taken)
            case .chunkSize(let value, let digits):
                let byte = bytes[position]
                position += 1
                if let digit = Hex.value(of: byte) {
                    guard digits < 8 else { throw Fault() }
                    state = .chunkSize(value: value << 4 | Int(digit), digits: digits + 1)
                } else {
                    guard byte == 0x0D, digits > 0 else { throw Fault() }
                    state = .chunkSizeLineFeed(value: value)
                }
            case .chunkSizeLineFeed(let value):
                guard bytes[position] == 0x0A else { throw Fault() }
                position += 1
                state = value == 0 ? .lastCarriageReturn : .chunkData(left: value)
            case .chunkData(let left):
                let taken = min(left, bytes.count - position)
                content(position..<position + taken)
                contentBytes += taken
                position += taken
                state = taken == left ? .chunkDataCarriageReturn : .chunkData(left: left - taken)
            case .chunkDataCarriageReturn:
                guard bytes[position] == 0x0D else { throw Fault() }
                position += 1
                state = .chunkDataLineFeed
            case .chunkDataLineFeed:
                guard bytes[position] == 0x0A else { throw Fault() }
                position += 1
                state = .chunkSize(value: 0, digits: 0)
            case .lastCarriageReturn:
                guard bytes[position] == 0x0D else { throw Fault() }
                position += 1
                state = .lastLineFeed
            case .lastLineFeed:
                guard bytes[position] == 0x0A else { throw Fault() }
                position += 1
                state = .done
            }
        }
        return position
    }
}
