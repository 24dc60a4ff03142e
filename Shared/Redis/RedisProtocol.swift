import CHiredis
import NIOCore

/// Turns received bytes into replies. It owns hiredis' reader; not thread-safe.
final class RedisReplyReader {
    private let reader: UnsafeMutablePointer<redisReader>

    init() {
        guard let reader = redisReaderCreate() else { fatalError("out of memory") }
        self.reader = reader
    }

    deinit { redisReaderFree(reader) }

    /// - Throws: ``RedisError/malformedReply``; the reader is of no use after that.
    func feed(_ buffer: ByteBuffer) throws(RedisError) {
        let code = buffer.withUnsafeReadableBytes { bytes in
            redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        guard code == REDIS_OK else { throw .malformedReply }
    }

    /// The next complete reply, or `nil` when more bytes are needed.
    func next() throws(RedisError) -> RedisValue? {
        var raw: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &raw) == REDIS_OK else { throw .malformedReply }
        guard let raw else { return nil }
        defer { freeReplyObject(raw) }
        return Self.value(raw.assumingMemoryBound(to: redisReply.self).pointee)
    }

    private static func value(_ reply: redisReply) -> RedisValue {
        func bytes() -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: reply.str, count: Int(reply.len)) }
        switch reply.type {
        case REDIS_REPLY_STRING: return .bytes(Array(bytes()))
        case REDIS_REPLY_STATUS: return .status(String(decoding: bytes(), as: UTF8.self))
        case REDIS_REPLY_ERROR: return .error(String(decoding: bytes(), as: UTF8.self))
        case REDIS_REPLY_INTEGER: return .integer(Int64(reply.integer))
        case REDIS_REPLY_ARRAY:
            let elements = UnsafeBufferPointer(start: reply.element, count: Int(reply.elements))
            return .array(elements.map { element in element.map { value($0.pointee) } ?? .null })
        default: return .null
        }
    }
}

enum RedisCommandFormat {
    static func send(_ command: [String], on channel: any Channel) {
        var buffer = channel.allocator.buffer(capacity: 256)
        write(command, into: &buffer)
        channel.writeAndFlush(buffer, promise: nil)
    }

    /// Appends the command in RESP.
    static func write(_ arguments: [String], into buffer: inout ByteBuffer) {
        var text: [CChar] = []
        var lengths: [Int] = []
        for argument in arguments {
            let utf8 = argument.utf8
            text.append(contentsOf: utf8.lazy.map { CChar(bitPattern: $0) })
            lengths.append(utf8.count)
        }
        text.append(0)  // So that there is a base address even without a byte.
        var command: UnsafeMutablePointer<CChar>?
        let length = text.withUnsafeBufferPointer { text in
            var offset = 0
            var pointers: [UnsafePointer<CChar>?] = []
            for length in lengths {
                pointers.append(text.baseAddress?.advanced(by: offset))
                offset += length
            }
            return Int(redisFormatCommandArgv(&command, Int32(lengths.count), &pointers, lengths))
        }
        guard let command, length >= 0 else { fatalError("out of memory") }
        buffer.writeBytes(UnsafeRawBufferPointer(start: command, count: length))
        redisFreeCommand(command)
    }
}
