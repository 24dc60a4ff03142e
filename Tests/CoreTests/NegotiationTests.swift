import Core
import Testing

@Suite struct NegotiationTests {
    private func preferred(_ accept: String?) throws -> String {
        let headers = accept.map { [(name: "accept", value: $0)] } ?? []
        let call = Call(
            method: .get, route: "/", path: "/", headers: headers, caller: .anonymous(EdgeContext(requestID: "r-1", deadline: .now)))
        return try call.preferred(among: ["application/json", "image/svg+xml"])
    }

    @Test(arguments: [
        nil, "", " ", "*/*", "application/json", "application/*", "text/html, image/gif, *; q=.2, */*; q=.2", "image/svg+xml;q=0.5, */*",
        "image/svg+xml, application/json", "image/*;q=0, */*;q=0.1", "Application/JSON; charset=utf-8", "image/svg+xml;q=2, */*;q=0.1",
    ])
    func theFirstIsGivenUnlessAnotherIsLikedBetter(_ accept: String?) throws { #expect(try preferred(accept) == "application/json") }

    @Test(arguments: [
        "image/svg+xml", "IMAGE/SVG+XML", "image/*", "image/png, image/svg+xml;q=0.1", "application/json;q=0.5, image/*",
        "application/json;q=0, */*", "image/svg+xml;note=\",\";q=0.9, */*;q=0.8", "image/avif,image/svg+xml,image/*,*/*;q=0.8",
    ])
    func anotherIsGivenWhereItIsLikedBetter(_ accept: String) throws { #expect(try preferred(accept) == "image/svg+xml") }

    @Test(arguments: ["image/png", "text/*", "application/json;q=0", "json", "*/*;q=0", "application/json;q=x", ",", "image/svg"])
    func whatIsNotThereIsNotAcceptable(_ accept: String) {
        let problem = #expect(throws: Problem.self) { try preferred(accept) }
        #expect(problem?.code == .notAcceptable && problem?.faults.first?.pointer == "Accept")
    }
}
