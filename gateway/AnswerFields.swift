/// Fields that keep browsers and caches from making more of an answer than it is.
enum AnswerFields {
    /// On every answer: its type is what it says, and where a person goes from it nobody is told whence (Referrer Policy, section 3.1).
    static let always: StaticString = "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"

    /// On an answer without a Content-Security-Policy of its own: it loads nothing, and stands in no frame.
    static let closedPolicy: StaticString = "default-src 'none'; frame-ancestors 'none'"

    /// On an answer without a Cache-Control of its own. One with an entity tag may be kept by whom it was for, so that If-None-Match has
    /// a use, and is asked for each time (RFC 9111, 5.2.2.4 and 5.2.2.7); all others are kept nowhere.
    static func cacheControl(hasEntityTag: Bool) -> StaticString {
        hasEntityTag ? "Cache-Control: private, no-cache\r\n" : "Cache-Control: no-store\r\n"
    }
}
