import Testing

@testable import Gateway

@Suite struct BodyScannerTests {
    /// Scans the bytes in parts of the given size; the result is the content, or `nil` when there is no end yet.
    private func scan(_ text: String, partSize: Int, rest: Int = 0) throws -> String? {
        var scanner = BodyScanner.chunked
        var content: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty, !scanner.isDone {
            let part = bytes.prefix(partSize)
            let taken = try part.withUnsafeBytes { part in try scanner.scan(part) { content.append(contentsOf: part[$0]) } }
            bytes = bytes.dropFirst(taken)
        }
        #expect(bytes.count == rest)
        return scanner.isDone ? String(decoding: content, as: UTF8.self) : nil
    }

    @Test(arguments: [1, 2, 3, 7, 100])
    func chunksAreReadHoweverTheyArrive(partSize: Int) throws {
        #expect(try scan("4\r\nWiki\r\nA\r\n0123456789\r\n0\r\n\r\nGET", partSize: partSize, rest: 3) == "Wiki0123456789")
    }

    @Test(arguments: [
        "4;ext=1\r\nWiki\r\n0\r\n\r\n", "4 \r\nWiki\r\n0\r\n\r\n", " 4\r\nWiki\r\n0\r\n\r\n", "0x4\r\nWiki\r\n", "+4\r\nWiki\r\n",
        "4\nWiki\n0\n\n", "4\r\nWikix\r\n", "4\r\nWiki\n0\r\n\r\n", "\r\n", "000000004\r\n", "FFFFFFFFF\r\n", "0\r\nTrailer: x\r\n\r\n",
        "4\rWiki", "g\r\n",
    ])
    func framingThatCanBeReadTwoWaysIsRefused(text: String) {
        #expect(throws: BodyScanner.Fault.self) { try scan(text, partSize: 100) }
    }

    @Test func aLengthTakesItsBytesAndNoMore() throws {
        var scanner = BodyScanner.length(5)
        let taken = try Array("1234567".utf8).withUnsafeBytes { try scanner.scan($0) }
        #expect(taken == 5 && scanner.isDone && scanner.contentBytes == 5)
    }
}
