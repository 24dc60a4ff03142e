import Operations
import Testing

@testable import Gateway

/// What is refused at the edge, by the attack that it would serve.
@Suite struct RequestHeadParserTests {
    private func read(_ text: String) throws(HeadFault) -> RequestHeadParser? {
        var parser = RequestHeadParser()
        let bytes = Array(text.utf8)
        let outcome = bytes.withUnsafeBytes { bytes in Result { () throws(HeadFault) in try parser.parse(bytes) } }
        return try outcome.get() ? parser : nil
    }

    private func parse(_ text: String) throws(HeadFault) -> RequestHead? { try read(text)?.head }

    private func kept(_ text: String) throws -> String {
        let head = try #require(try parse(text))
        return head.kept.map { String(decoding: Array(text.utf8)[Int($0.start)..<$0.end], as: UTF8.self) }.joined()
    }

    @Test func aPlainRequestIsRead() throws {
        let parser = try #require(try read("GET /v1/leads?a=%2f HTTP/1.1\r\nHost: x:80\r\nAccept: */*\r\n\r\n"))
        let (head, framing) = (parser.head, parser.framing)
        #expect(head.method == .get && framing.keepsAlive && framing.isHTTP11 && !framing.isChunked && head.contentLength == nil)
        #expect(head.target == Slice(4..<19) && head.path == Slice(4..<13))
    }

    @Test func headsThatComeByteByByteAreReadAsIfAtOnce() throws {
        let text = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\nabc"
        let bytes = Array(text.utf8)
        var parser = RequestHeadParser()
        for count in 1..<bytes.count {
            let isComplete = try bytes[..<count].withUnsafeBytes { try parser.parse($0) }
            #expect(isComplete == (count >= bytes.count - 3))
            if isComplete { break }
        }
        #expect(parser.head.contentLength == 3 && parser.framing.length == bytes.count - 3)
    }

    @Test(arguments: [
        // A24: requests that two parties would cut at different places
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\n", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \u{0B}chunked\r\n\r\n",
        "POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\n Transfer-Encoding: chunked\r\n\r\n",
        "GET /a HTTP/1.1\nHost: x\n\n", "GET /a HTTP/1.1\r\nHost: x\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
        // A26: control characters
        "GET /a HTTP/1.1\r\nHost: x\r\nA: b\u{00}c\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\u{7F}cdefghijklmnop\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nA\u{00}: b\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nA(b): c\r\n\r\n",
        // Who is asked
        "GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n", "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: x\r\nX-Tenant: a\r\nX-Tenant: a\r\n\r\n",
        // The request line
        "GET * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET  /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a  HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a HTTP/1.1 \r\nHost: x\r\n\r\n",
        "GET /a HTTP/1.2\r\nHost: x\r\n\r\n", "GET /a HTTP/2.0\r\nHost: x\r\n\r\n", "GET /a http/1.1\r\nHost: x\r\n\r\n",
        "GET /a\r\nHost: x\r\n\r\n", " GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "G(T /a HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a\tHTTP/1.1\r\nHost: x\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n",
    ])
    func whatCanBeReadTwoWaysIsRefused(text: String) {
        #expect(throws: HeadFault.self) { try parse(text) }
    }

    /// A10: one path has one spelling.
    @Test(arguments: [
        "/v1//leads", "//v1/leads", "/v1/./leads", "/v1/../leads", "/v1/leads/..", "/v1/leads/.", "/v1/leads/", "/v1/%2e%2e/x", "/v1/%2E/x",
        "/v1%2fleads", "/v1%2Fleads", "/v1/a%5cb", "/v1/a\\b", "/v1/leads;a=b", "/v1/a%3bb", "/v1/%00", "/v1/%0d%0a", "/v1/%7f", "/v1/%",
        "/v1/%4", "/v1/%zz", "/v1/%252e", "/v1/ä", "/v1/a|b", "/v1/a\"b", "/v1/<x>", "/v1/a#b", "/v1/leads?a#b", "/v1/leads?ä",
        "/v1/by-external-id/a/b%2fc", "/v1/leads/by-external-id/%2e%2e", "/v1/leads/by-external-id/%00", "/v1/leads/by-external-id//a",
        "/v1/leads/by-external-id/..", "/v1/leads/by-external-ids/a%2fb",
    ])
    func aPathInAnotherSpellingIsRefused(path: String) {
        #expect(throws: HeadFault.self) { try parse("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n") }
    }

    @Test(arguments: [
        "/", "/v1/leads", "/v1/leads/a.b..c", "/v1/x%20y", "/v1/%C3%A4", "/.well-known/jwks.json", "/v1/a:b@c,d=e+f!$&'()*~",
        "/v1/leads/by-external-id/a%2Fb%5C%3B%25", "/v1/leads/by-external-id/a.b",
    ])
    func ordinaryPathsPass(path: String) throws {
        #expect(try parse("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n") != nil)
    }

    /// A28: limits, and no waiting for the end of what is too long already.
    @Test func aTooLongTargetIsRefusedBeforeItsEnd() {
        #expect(throws: HeadFault.targetTooLong) { try parse("GET /" + String(repeating: "a", count: 9000)) }
        #expect(throws: HeadFault.targetTooLong) {
            try parse("GET /" + String(repeating: "a", count: 8192) + " HTTP/1.1\r\nHost: x\r\n\r\n")
        }
    }

    @Test func tooManyOrTooLongFieldsAreRefusedBeforeTheirEnd() {
        let start = "GET /a HTTP/1.1\r\nHost: x\r\n"
        #expect(throws: HeadFault.headersTooLarge) { try parse(start + String(repeating: "A: b\r\n", count: 100)) }
        #expect(throws: HeadFault.headersTooLarge) { try parse(start + "A: " + String(repeating: "b", count: 33_000)) }
    }

    @Test func fieldsOfTheConnectionAndOfProxiesEndHere() throws {
        let text =
            "GET /a HTTP/1.1\r\nHost: x\r\nAccept: a\r\nConnection: close, X-Hop\r\nMartlet-Context: forged\r\nMARTLET-x: y\r\n"
            + "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nForwarded: for=1\r\nX-Real-IP: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n"
            + "HTTP2-Settings: AA\r\nProxy-Authorization: b\r\nKeep-Alive: 1\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /x\r\n"
            + "Authorization: Bearer x\r\nX-User: me\r\nX-Hop: 1\r\nCookie: c=d\r\nIdempotency-Key: k\r\n\r\n"
        #expect(try kept(text) == "Accept: a\r\nCookie: c=d\r\nIdempotency-Key: k\r\n")
        let parser = try #require(try read(text))
        #expect(!parser.framing.keepsAlive && parser.head.hasIdempotencyKey && parser.head.isIdempotent)
    }

    @Test func whatConnectionNamesMakesNoRetrySafe() throws {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\nIdempotency-Key: k\r\nC: d\r\nConnection: idempotency-key, c\r\n\r\n"
        #expect(try kept(text) == "A: b\r\n")
        #expect(try #require(try parse(text)).hasIdempotencyKey == false)
    }

    /// Each name is looked for in each line, so a head of many of both would cost a thousand times what it should.
    @Test func connectionNamesFewFields() throws {
        func text(_ names: Int) -> String {
            let connection = (0..<names).map { "n\($0)" }.joined(separator: ",")
            return "GET /a HTTP/1.1\r\nHost: x\r\nConnection: \(connection)\r\nA: b\r\n\r\n"
        }
        #expect(try kept(text(16)) == "A: b\r\n")
        #expect(throws: HeadFault.self) { try parse(text(17)) }
    }

    /// RFC 9112, 3.2.2: the target's authority counts, and Host must be there all the same.
    @Test func aTargetInAbsoluteFormNamesItsHost() throws {
        let text = "GET HTTP://Acme.example.com:80/v1/leads?a=1 HTTP/1.1\r\nHost: other\r\n\r\n"
        let head = try #require(try parse(text))
        func part(_ slice: Slice) -> String { String(decoding: Array(text.utf8)[Int(slice.start)..<slice.end], as: UTF8.self) }
        #expect(part(head.host) == "Acme.example.com:80" && part(head.path) == "/v1/leads" && part(head.target) == "/v1/leads?a=1")
        for wrong in ["GET http:///a HTTP/1.1", "GET http://a@b/c HTTP/1.1", "GET http://x HTTP/1.1", "GET ftp://x/a HTTP/1.1"] {
            #expect(throws: HeadFault.self) { try parse("\(wrong)\r\nHost: x\r\n\r\n") }
        }
        #expect(throws: HeadFault.self) { try parse("GET http://x/a HTTP/1.1\r\n\r\n") }
    }
}
