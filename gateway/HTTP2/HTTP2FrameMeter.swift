import NIOCore

/// Of what a client sent more than it can have use for, though each frame was right: what attacks on HTTP/2 are made of.
enum HTTP2Excess: String, CaseIterable {
    /// Streams taken back again and again: each one costs a request that nobody waits for ("rapid reset").
    case resets
    /// Streams whose frames are wrong again and again, so that the gateway takes them back ("made you reset").
    case failedStreams = "failed_streams"
    case settings
    case pings
    case priorities
    case windowUpdates = "window_updates"
    /// Parts of a body with next to nothing in them.
    case emptyData = "empty_data"
    /// Frames of kinds that nobody knows.
    case unknownFrames = "unknown_frames"
    /// A head in more pieces than its size needs.
    case continuations
    /// A head that is too large before it is decoded.
    case headBlock = "head_block"
    /// A head that is much too large once it is decoded ("HPACK bomb").
    case headFields = "head_fields"
    /// Answers to SETTINGS and PING that the client does not take.
    case acknowledgements
}

/// Counts the frames of one client, without I/O. Nothing that is counted here costs much by itself; the numbers are far above what a
/// client does that has a use for the connection, and far below what costs a loop any noticeable time.
struct HTTP2FrameMeter {
    /// All numbers but those of a head are for this time.
    static let window = TimeAmount.seconds(10)

    static let resets = 100
    static let failedStreams = 100
    static let settings = 20
    static let pings = 100
    static let priorities = 1000
    static let unknownFrames = 100
    /// So many, and four for each frame of a body that the client was sent: one for the stream and one for the connection is usual.
    static let windowUpdates = 1000
    static let windowUpdatesAnswer = 4
    /// So many, and one for each 128 bytes of content.
    static let dataFrames = 1000
    static let dataBytesFrame = 128
    /// Three frames hold all that a head may be.
    static let continuations = 8
    /// A head of 32 KiB takes less, unless it is of bytes that Huffman's code makes longer.
    static let headBlockBytes = 48 * 1024

    /// How many clients speak on the connection, as far as can be known: streams taken back count for each.
    var clients = 1
    private var windowEnd = NIODeadline.uptimeNanoseconds(0)
    private var counts = Counts()
    private var continuations = 0
    private var headBlockBytes = 0
    /// Whether a head has begun whose end has not come.
    private(set) var isInHead = false

    private struct Counts {
        var resets = 0
        var failedStreams = 0
        var settings = 0
        var pings = 0
        var priorities = 0
        var unknownFrames = 0
        var windowUpdates = 0
        var sentDataFrames = 0
        var dataFrames = 0
        var dataBytes = 0
    }

    /// A frame has come, or at least its header.
    mutating func count(_ frame: HTTP2FrameHeader, now: NIODeadline) -> HTTP2Excess? {
        if now >= windowEnd {
            windowEnd = now + Self.window
            counts = Counts()
        }
        switch frame.kind {
        case .data:
            // The last one of a stream may be empty.
            if frame.has(HTTP2FrameHeader.endStream) { return nil }
            counts.dataFrames += 1
            return counts.dataFrames > Self.dataFrames + counts.dataBytes / Self.dataBytesFrame ? .emptyData : nil
        case .headers:
            continuations = 0
            headBlockBytes = 0
            return countHeadBlock(frame)
        case .continuation:
            continuations += 1
            return continuations > Self.continuations ? .continuations : countHeadBlock(frame)
        case .priority:
            counts.priorities += 1
            return counts.priorities > Self.priorities ? .priorities : nil
        case .reset:
            counts.resets += 1
            return counts.resets > Self.resets * clients ? .resets : nil
        case .settings:
            if frame.has(HTTP2FrameHeader.acknowledgement) { return nil }
            counts.settings += 1
            return counts.settings > Self.settings ? .settings : nil
        case .ping:
            counts.pings += 1
            return counts.pings > Self.pings ? .pings : nil
        case .windowUpdate:
            counts.windowUpdates += 1
            return counts.windowUpdates > Self.windowUpdates + Self.windowUpdatesAnswer * counts.sentDataFrames ? .windowUpdates : nil
        case .pushPromise, .goAway, nil:
            counts.unknownFrames += 1
            return counts.unknownFrames > Self.unknownFrames ? .unknownFrames : nil
        }
    }

    private mutating func countHeadBlock(_ frame: HTTP2FrameHeader) -> HTTP2Excess? {
        headBlockBytes += frame.length
        isInHead = !frame.has(HTTP2FrameHeader.endHeaders)
        return headBlockBytes > Self.headBlockBytes ? .headBlock : nil
    }

    mutating func countContent(_ bytes: Int) { counts.dataBytes += bytes }
    mutating func countSentData() { counts.sentDataFrames += 1 }

    /// A stream was ended for what the client did on it.
    mutating func countFailedStream() -> HTTP2Excess? {
        counts.failedStreams += 1
        return counts.failedStreams > Self.failedStreams * clients ? .failedStreams : nil
    }
}
