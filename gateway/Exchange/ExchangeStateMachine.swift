/// The phases of an exchange, without I/O: what happens goes in, what is to be done comes out. What comes too late, as a lease for a
/// client that has gone, finds the exchange ended and is answered with ``Action/nothing``.
struct ExchangeStateMachine {
    enum State: Equatable {
        /// The layers judge the head; one of them may wait for something. Can transition to: `gathering`, `waiting`, `ended`.
        case judging
        /// The request is admitted; the rest of its body is awaited, or enough of one that goes on as it comes. Can transition to: `waiting`,
        /// `ended`.
        case gathering
        /// The request is whole, or goes on as it comes, and waits for a connection to its service. Can transition to: `sent`, `streaming`,
        /// `ended`.
        case waiting
        /// The service has a part of the request, and gets the rest as it comes. Can transition to: `heldBack`, `sent`, `answering`, `ended`.
        case streaming
        /// The same, while the service does not take more. Can transition to: `streaming`, `sent`, `answering`, `ended`.
        case heldBack
        /// The service has the whole request. Can transition to: `waiting` for another attempt, `answering`, `ended`.
        case sent
        /// The client has a part of the service's answer. Can transition to: `ended`.
        case answering
        /// The last byte of the answer is written, or nobody is there to get it. Final.
        case ended
    }

    enum Event {
        /// All layers have let the request pass.
        ///
        /// - Parameter isReady: Whether it can be sent on with what is here of it.
        case admitted(isReady: Bool)
        /// Enough is here of a body that goes on as it comes.
        case bodyIsEnough
        /// The last byte of the body is here.
        case bodyIsWhole
        case connectionIsReady(bodyIsWhole: Bool)
        /// The service does not take more of the body for now.
        case serviceIsFull
        case serviceTakesMore
        case answerHead(isLast: Bool)
        case answerPart(isLast: Bool)
        case upstreamFailed(mayRetry: Bool)
        /// An answer that goes on for as long as it is taken is to end here.
        case streamEnds
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
        /// Have the client send no more of the body for now.
        case holdBody
        /// Have the client go on with the body.
        case takeBody
        case relayHead
        case relayPart
        /// Answer that the service failed.
        case refuseForService
        /// The answer cannot be completed.
        case abortAnswer
        /// The answer is whole with what the client has of it.
        case endAnswer
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
    enum Upstream: Equatable { case nothing, place, connectionInRequest, connection, connectionInAnswer }

    private(set) var state = State.judging

    var isEnded: Bool { state == .ended }

    mutating func handle(_ event: Event) -> Action {
        switch (state, event) {
        case (.ended, _): return .nothing

        case (.judging, .admitted(isReady: true)), (.gathering, .bodyIsWhole), (.gathering, .bodyIsEnough):
            state = .waiting
            return .acquire
        case (.judging, .admitted(isReady: false)):
            state = .gathering
            return .awaitBody

        case (.waiting, .connectionIsReady(let bodyIsWhole)):
            state = bodyIsWhole ? .sent : .streaming
            return .send
        case (.streaming, .serviceIsFull):
            state = .heldBack
            return .holdBody
        case (.heldBack, .serviceTakesMore):
            state = .streaming
            return .takeBody
        case (.streaming, .bodyIsWhole), (.heldBack, .bodyIsWhole):
            state = .sent
            return .nothing
        // A service may answer before it has the whole body; nobody wants the rest then.
        case (.streaming, .answerHead(let isLast)), (.heldBack, .answerHead(let isLast)), (.sent, .answerHead(let isLast)):
            state = isLast ? .ended : .answering
            return .relayHead
        case (.answering, .answerPart(let isLast)):
            if isLast { state = .ended }
            return .relayPart
        case (.waiting, .upstreamFailed(mayRetry: true)), (.sent, .upstreamFailed(mayRetry: true)):
            state = .waiting
            return .acquire
        case (.waiting, .upstreamFailed), (.sent, .upstreamFailed), (.streaming, .upstreamFailed), (.heldBack, .upstreamFailed):
            return .refuseForService
        case (.answering, .streamEnds):
            state = .ended
            return .endAnswer
        case (.answering, .upstreamFailed):
            state = .ended
            return .abortAnswer

        // A client that does not take its answer is the transport's to end.
        case (.answering, .deadline): return .nothing
        case (.gathering, .deadline), (.streaming, .deadline): return .refuseLateBody
        case (_, .deadline): return .refuseLateAnswer

        case (.answering, .answeredHere): return .nothing
        case (_, .answeredHere):
            defer { state = .ended }
            return .answer(giveUp: held)
        case (_, .clientGone):
            defer { state = .ended }
            return .leave(giveUp: held)

        case (_, .admitted), (_, .bodyIsEnough), (_, .bodyIsWhole), (_, .connectionIsReady), (_, .serviceIsFull), (_, .serviceTakesMore),
            (_, .answerHead), (_, .answerPart), (_, .upstreamFailed), (_, .streamEnds):
            return .nothing
        }
    }

    private var held: Upstream {
        switch state {
        case .judging, .gathering, .ended: .nothing
        case .waiting: .place
        case .streaming, .heldBack: .connectionInRequest
        case .sent: .connection
        case .answering: .connectionInAnswer
        }
    }
}
