import Crypto
import Foundation
import NIOCore

/// The API reference at `/docs`: one page, `docs.html`, that renders `/openapi.json` in the browser. Its policy lets it run its own
/// script and style, known by their hashes (CSP Level 3, section 6.7.3.3), and speak to this origin; nothing else.
struct ReferencePage: Sendable {
    let answer: OwnAnswer

    init() {
        // Always there: it is a resource of this module.
        let text = try! String(contentsOf: Bundle.module.url(forResource: "docs", withExtension: "html")!, encoding: .utf8)
        let policy = """
            default-src 'none'; connect-src 'self'; style-src \(Self.hash(of: "style", in: text)); \
            script-src \(Self.hash(of: "script", in: text)); img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'
            """
        let body = ByteBuffer(string: text)
        answer = OwnAnswer(
            status: 200, type: "text/html; charset=utf-8", body: body, compressedBody: AnswerCompression.compressed(body),
            policy: Array(policy.utf8))
    }

    private static func hash(of element: String, in text: String) -> String {
        // The page has one of each; a test looks.
        let start = text.range(of: "<\(element)>")!.upperBound
        let end = text.range(of: "</\(element)>", range: start..<text.endIndex)!.lowerBound
        return "'sha256-\(Data(SHA256.hash(data: Data(text[start..<end].utf8))).base64EncodedString())'"
    }
}
