/// The phases of an exchange, without I/O: what happens goes in, what is to be done comes out. What comes too late, as a lease for a
/// client that has gone, finds the exchange ended and is answered with ``Action/nothing``.
struct ExchangeStateMachine {
    enum State: Equatable {
        /// The layers judge the head; one of them may wait for something. Can transition to: `gathering`, `waiting`, `ended`.
        case judging
        /// The request is admitted; the rest of its body is awaited. Can transition to: `waiting`, `ended`.
        case gathering
        /// The request is whole, and waits for a connection to its service. Can transition to: `sent`, `ended`.
        case waiting
        /// The service has the request. Can transition to: `waiting` for another attempt, `answering`, `ended`.
        case sent
        /// The client has a part of the service's answer. Can transition to: `ended`.
        case answering
        /// The last byte of the answer is written, or nobody is there to get it. Final.
        case ended
    }

    enum Event {
        /// All layers have let the request pass.
        case admitted(bodyIsWhole: Bool)
        /// The last byte of the body is here.
        case bodyIsWhole
        case connectionIsReady
        case answerHead(isLast: Bool)
        case answerPart(isLast: Bool)
        case upstreamFailed(mayRetry: Bool)
        /// The gateway answers by itself.
        case answeredHere
        case clientGone
        case deadline
    }

    enum Action: Equatable {
        case nothing
        case awaitBody
        /// Ask the pool for a connection.
        case acquire
        case send
        case relayHead
        case relayPart
        /// Answer that the service failed.
        case refuseForService
        /// The answer cannot be completed.
        case abortAnswer
        /// Answer that the body came too slowly.
        case refuseLateBody
        /// Answer that the service took too long.
        case refuseLateAnswer
        /// Write the gateway's own answer.
        case answer(giveUp: Upstream)
        /// The client has gone; give up what was asked of the service.
        case leave(giveUp: Upstream)
    }

    /// What of the upstream's is held when an exchange ends before its answer.
    enum Upstream: Equatable { case nothing, place, connection, connectionInAnswer }

    private(set) var state = State.judging

    var isEnded: Bool { state == .ended }

    mutating func handle(_ event: Event) -> Action {
        switch (state, event) {
        case (.ended, _): return .nothing

        case (.judging, .admitted(bodyIsWhole: true)), (.gathering, .bodyIsWhole):
            state = .waiting
            return .acquire
        case (.judging, .admitted(bodyIsWhole: false)):
            state = .gathering
            return .awaitBody

        case (.waiting, .connectionIsReady):
            state = .sent
            return .send
        case (.sent, .answerHead(let isLast)):
            state = isLast ? .ended : .answering
            return .relayHead
        case (.answering, .answerPart(let isLast)):
            if isLast { state = .ended }
            return .relayPart
        case (.waiting, .upstreamFailed(mayRetry: true)), (.sent, .upstreamFailed(mayRetry: true)):
            state = .waiting
            return .acquire
        case (.waiting, .upstreamFailed), (.sent, .upstreamFailed): return .refuseForService
        case (.answering, .upstreamFailed):
            state = .ended
            return .abortAnswer

        // A client that does not take its answer is the transport's to end.
        case (.answering, .deadline): return .nothing
        case (.gathering, .deadline): return .refuseLateBody
        case (_, .deadline): return .refuseLateAnswer

        case (.answering, .answeredHere): return .nothing
        case (_, .answeredHere):
            defer { state = .ended }
            return .answer(giveUp: held)
        case (_, .clientGone):
            defer { state = .ended }
            return .leave(giveUp: held)

        case (_, .admitted), (_, .bodyIsWhole), (_, .connectionIsReady), (_, .answerHead), (_, .answerPart), (_, .upstreamFailed):
            return .nothing
        }
    }

    private var held: Upstream {
        switch state {
        case .judging, .gathering, .ended: .nothing
        case .waiting: .place
        case .sent: .connection
        case .answering: .connectionInAnswer
        }
    }
}
