import Testing

@testable import Gateway

@Suite struct ResponseHeadParserTests {
    private func parse(_ text: String) throws -> ResponseHead? {
        var parser = ResponseHeadParser()
        var bytes = Array(text.utf8)
        let isComplete = try bytes.withUnsafeMutableBytes { try parser.parse(UnsafeRawBufferPointer($0)) }
        return isComplete ? parser.head : nil
    }

    @Test func aHeadIsReadAndItsHopByHopFieldsAreLeftOut() throws {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\nETag: \"1\"\r\nServer: x\r\n"
            + "Content-Length: 2\r\nX-Request-Id: other\r\n\r\n{}"
        let head = try #require(try parse(text))
        #expect(head.status == 200 && head.contentLength == 2 && head.keepsAlive && !head.isChunked)
        let kept = head.kept.map { String(decoding: Array(text.utf8)[Int($0.start)..<$0.end], as: UTF8.self) }.joined()
        #expect(kept == "Content-Type: application/json\r\nETag: \"1\"\r\n")
    }

    @Test(arguments: [(200, false), (401, false), (429, true)])
    func aLimitOfTheServicesOwnIsToldWithItsRefusalOnly(status: Int, isTold: Bool) throws {
        let limit = "RateLimit-Policy: \"a\";q=5;w=900\r\nRateLimit: \"a\";r=0;t=7\r\n"
        let text = "HTTP/1.1 \(status) X\r\n\(limit)Content-Length: 0\r\n\r\n"
        let head = try #require(try parse(text))
        #expect(head.hasRateLimit == isTold)
        let kept = head.kept.map { String(decoding: Array(text.utf8)[Int($0.start)..<$0.end], as: UTF8.self) }.joined()
        #expect(kept == (isTold ? limit : ""))
    }

    /// Whole or not: the memory for an answer's fields is reckoned by this.
    @Test func aHeadThatIsTooLargeIsNone() throws {
        let line = "A: " + String(repeating: "b", count: 1000) + "\r\n"
        func text(_ lines: Int) -> String { "HTTP/1.1 200 OK\r\n" + String(repeating: line, count: lines) + "Content-Length: 0\r\n\r\n" }
        #expect(try parse(text(30)) != nil)
        #expect(throws: ResponseFault.self) { try parse(text(40)) }
    }

    @Test func aHeadThatIsNotWholeYetNeedsMore() throws { #expect(try parse("HTTP/1.1 200 OK\r\nETag: 1\r\n") == nil) }

    @Test(arguments: [
        "HTTP/1.1 200 OK\nContent-Length: 2\n\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n", "garbage\r\n\r\n",
        "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nA: \u{01}\r\nContent-Length: 2\r\n\r\n",
    ])
    func anAnswerThatCanBeReadTwoWaysIsNone(text: String) { #expect(throws: ResponseFault.self) { try parse(text) } }
}
