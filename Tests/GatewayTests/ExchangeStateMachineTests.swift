import Testing

@testable import Gateway

/// The phases of an exchange as scripts: events, and what is to be done at each.
@Suite struct ExchangeStateMachineTests {
    private typealias Event = ExchangeStateMachine.Event
    private typealias Action = ExchangeStateMachine.Action

    private func actions(_ events: [Event]) -> [Action] {
        var machine = ExchangeStateMachine()
        return events.map { machine.handle($0) }
    }

    @Test func aRequestWithoutABodyGoesStraightToItsService() {
        #expect(
            actions([.admitted(isReady: true), .connectionIsReady(bodyIsWhole: true), .answerHead(isLast: true)]) == [
                .acquire, .send, .relayHead,
            ])
    }

    @Test func aBodyIsAwaitedBeforeAnythingIsAskedOfTheService() {
        #expect(
            actions([
                .admitted(isReady: false), .bodyIsWhole, .connectionIsReady(bodyIsWhole: true), .answerHead(isLast: false),
                .answerPart(isLast: false),
                .answerPart(isLast: true),
            ]) == [.awaitBody, .acquire, .send, .relayHead, .relayPart, .relayPart])
    }

    @Test func aFailureBeforeTheAnswerIsRetriedOrToldAndOneWithinItCutsItOff() {
        let sent: [Event] = [.admitted(isReady: true), .connectionIsReady(bodyIsWhole: true)]
        #expect(actions(sent + [.upstreamFailed(mayRetry: true), .connectionIsReady(bodyIsWhole: true)]).suffix(2) == [.acquire, .send])
        #expect(
            actions(sent + [.upstreamFailed(mayRetry: false), .answeredHere]).suffix(2) == [
                .refuseForService, .answer(giveUp: .connection),
            ])
        #expect(
            actions(sent + [.answerHead(isLast: false), .upstreamFailed(mayRetry: false), .answerPart(isLast: true)]).suffix(2)
                == [.abortAnswer, .nothing])
    }

    @Test func aBodyThatGoesOnAsItComesIsHeldBackWhileTheServiceIsFull() {
        #expect(
            actions([
                .admitted(isReady: false), .bodyIsEnough, .connectionIsReady(bodyIsWhole: false), .serviceIsFull, .serviceIsFull,
                .serviceTakesMore, .serviceTakesMore, .bodyIsWhole, .answerHead(isLast: true),
            ]) == [.awaitBody, .acquire, .send, .holdBody, .nothing, .takeBody, .nothing, .nothing, .relayHead])
        // A client that waits to be asked is not asked before the service is there for it.
        #expect(actions([.admitted(isReady: true), .connectionIsReady(bodyIsWhole: false)]) == [.acquire, .send])
        // The last byte may be here before the service took the ones before.
        let held: [Event] = [.admitted(isReady: true), .connectionIsReady(bodyIsWhole: false), .serviceIsFull]
        #expect(
            actions(held + [.bodyIsWhole, .serviceTakesMore, .answerHead(isLast: true)]).suffix(3) == [.nothing, .nothing, .relayHead])
    }

    @Test func anAnswerMayComeBeforeTheEndOfTheBody() {
        let streaming: [Event] = [.admitted(isReady: true), .connectionIsReady(bodyIsWhole: false)]
        for events in [streaming, streaming + [.serviceIsFull]] {
            #expect(
                actions(events + [.answerHead(isLast: false), .serviceTakesMore, .bodyIsWhole, .answerPart(isLast: true)]).suffix(4)
                    == [.relayHead, .nothing, .nothing, .relayPart])
        }
        #expect(actions(streaming + [.upstreamFailed(mayRetry: false)]).last == .refuseForService)
    }

    @Test func onlyAnAnswerThatHasBegunIsEndedAsAWholeOne() {
        let sent: [Event] = [.admitted(isReady: true), .connectionIsReady(bodyIsWhole: true)]
        #expect(actions(sent + [.streamEnds, .answerHead(isLast: false)]).suffix(2) == [.nothing, .relayHead])
        #expect(
            actions(sent + [.answerHead(isLast: false), .streamEnds, .answerPart(isLast: true), .clientGone]).suffix(3)
                == [.endAnswer, .nothing, .nothing])
    }

    /// What an end in each phase gives up, and that nothing that comes afterwards does anything.
    @Test(
        arguments: [
            ([], .nothing), ([.admitted(isReady: false)], .nothing), ([.admitted(isReady: true)], .place),
            ([.admitted(isReady: true), .connectionIsReady(bodyIsWhole: false)], .connectionInRequest),
            ([.admitted(isReady: true), .connectionIsReady(bodyIsWhole: false), .serviceIsFull], .connectionInRequest),
            ([.admitted(isReady: true), .connectionIsReady(bodyIsWhole: true)], .connection),
            ([.admitted(isReady: true), .connectionIsReady(bodyIsWhole: true), .answerHead(isLast: false)], .connectionInAnswer),
        ] as [([ExchangeStateMachine.Event], ExchangeStateMachine.Upstream)])
    func anEndGivesUpWhatIsHeldAndIsFinal(events: [ExchangeStateMachine.Event], held: ExchangeStateMachine.Upstream) {
        let late: [Event] = [
            .admitted(isReady: true), .bodyIsEnough, .bodyIsWhole, .connectionIsReady(bodyIsWhole: true), .serviceIsFull, .serviceTakesMore,
            .answerHead(isLast: true), .answerPart(isLast: true), .upstreamFailed(mayRetry: true), .streamEnds, .answeredHere, .clientGone,
            .deadline,
        ]
        let nothing = [Action](repeating: .nothing, count: late.count)
        #expect(actions(events + [.clientGone] + late).dropFirst(events.count) == [.leave(giveUp: held)] + nothing)
        // An answer that has begun cannot be replaced by another.
        guard held != .connectionInAnswer else { return #expect(actions(events + [.answeredHere]).last == .nothing) }
        #expect(actions(events + [.answeredHere] + late).dropFirst(events.count) == [.answer(giveUp: held)] + nothing)
    }

    @Test func theDeadlineSaysWhoWasTooSlow() {
        #expect(actions([.deadline]) == [.refuseLateAnswer])
        #expect(actions([.admitted(isReady: false), .deadline]).last == .refuseLateBody)
        #expect(actions([.admitted(isReady: true), .deadline]).last == .refuseLateAnswer)
        let streaming: [Event] = [.admitted(isReady: true), .connectionIsReady(bodyIsWhole: false)]
        #expect(actions(streaming + [.deadline]).last == .refuseLateBody)
        #expect(actions(streaming + [.serviceIsFull, .deadline]).last == .refuseLateAnswer)
        let sent: [Event] = [.admitted(isReady: true), .connectionIsReady(bodyIsWhole: true)]
        #expect(actions(sent + [.deadline]).last == .refuseLateAnswer)
        #expect(actions(sent + [.answerHead(isLast: false), .deadline]).last == .nothing)
    }

    @Test func whatComesOutOfTurnIsPassedOver() {
        for event in [Event.bodyIsWhole, .connectionIsReady(bodyIsWhole: true), .answerHead(isLast: true), .answerPart(isLast: true)] {
            #expect(actions([event, .admitted(isReady: true)]) == [.nothing, .acquire])
        }
    }
}
