import Core
import NIOCore
import NIOPosix
import Operations
import Synchronization
import TestSupport
import Testing

@testable import Gateway

/// A pool by itself, before services on real sockets.
private struct TestPool {
    enum Outcome: Equatable {
        case answered(Int, String)
        case failed(UpstreamFailure)

        var isOK: Bool { if case .answered(200, _) = self { true } else { false } }
    }

    let loop: any EventLoop
    let pool: NIOLoopBound<UpstreamPool>

    static func with(
        _ addresses: [UpstreamAddress], limits: UpstreamLimits = UpstreamLimits(), lookup: NameLookup = .system,
        _ body: (TestPool) async throws -> Void
    ) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let pool = try await loop.submit {
            NIOLoopBound(
                UpstreamPool(service: .crm, addresses: addresses, limits: limits, lookup: lookup, eventLoop: loop), eventLoop: loop)
        }.get()
        let ticks = loop.scheduleRepeatedTask(initialDelay: .milliseconds(50), delay: .milliseconds(50)) { _ in
            pool.value.tick(now: .now())
        }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(TestPool(loop: loop, pool: pool))) } catch { outcome = .failure(error) }
        ticks.cancel()
        try await loop.submit { pool.value.close() }.get()
        try outcome.get()
    }

    /// One request; the future is there when the pool has it, the outcome later.
    func ask(
        _ target: String, tenant: TenantID? = nil, lane: UpstreamLane = .ordinary, mayBeRepeated: Bool = true, concurrency: Int? = nil,
        isWhole: Bool = true
    ) async throws -> EventLoopFuture<Outcome> {
        let promise = loop.makePromise(of: Outcome.self)
        try await loop.submit { [pool] in
            let asker = Asker(target, pool: pool.value, promise: promise, isWhole: isWhole)
            (asker.tenant, asker.lane, asker.mayBeRepeated, asker.concurrency) = (tenant, lane, mayBeRepeated, concurrency)
            asker.waiter = pool.value.acquire(asker)
        }.get()
        return promise.futureResult
    }

    func get(_ target: String, tenant: TenantID? = nil, mayBeRepeated: Bool = true) async throws -> Outcome {
        try await ask(target, tenant: tenant, mayBeRepeated: mayBeRepeated).get()
    }

    func figures() async throws -> UpstreamFigures { try await loop.submit { [pool] in pool.value.figuresNow() }.get() }

    /// Looks the names up once more, and waits for what comes of it.
    func lookUp() async throws {
        try await loop.submit { [pool] in
            pool.value.nextLookup = .now()
            pool.value.lookUp(now: .now())
        }.get()
        try await eventually("the names are looked up") { try await loop.submit { [pool] in !pool.value.isLookingUp }.get() }
    }

    final class End: Sendable {
        private let value = Mutex(false)
        var isReached: Bool { value.withLock { $0 } }
        func reach() { value.withLock { $0 = true } }
    }

    private final class Asker: UpstreamRequester {
        var tenant: TenantID?
        var lane = UpstreamLane.ordinary
        var mayBeRepeated = true
        var concurrency: Int?
        var waiter: UpstreamWaiter?
        private var endpoint: UpstreamEndpoint?
        private var attempts = 0
        private let pool: UpstreamPool
        private let target: String
        private let promise: EventLoopPromise<Outcome>
        private let isWhole: Bool
        private var answer = (status: 0, body: "")

        init(_ target: String, pool: UpstreamPool, promise: EventLoopPromise<Outcome>, isWhole: Bool) {
            (self.target, self.pool, self.promise, self.isWhole) = (target, pool, promise, isWhole)
        }

        func upstreamReady(_ connection: UpstreamConnection) {
            endpoint = connection.endpoint
            attempts += 1
            connection.send(ByteBuffer(string: "GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n"), isLast: isWhole)
        }

        func upstreamAnswered(_ head: ResponseHead, bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, isLast: Bool) {
            answer = (head.status, String(decoding: body, as: UTF8.self))
            if isLast { promise.succeed(.answered(answer.status, answer.body)) }
        }

        func upstreamBody(_ content: ByteBuffer, isLast: Bool) {
            answer.body += String(buffer: content)
            if isLast { promise.succeed(.answered(answer.status, answer.body)) }
        }

        /// Once more elsewhere, as an exchange does.
        func upstreamFailed(_ failure: UpstreamFailure) {
            let mayRetry =
                attempts < 3 && pool.budget.allowsRetry(after: failure, isSafe: mayBeRepeated, isIdempotent: mayBeRepeated)
            guard mayRetry else { return promise.succeed(.failed(failure)) }
            waiter = pool.acquire(self, avoiding: endpoint)
        }
    }
}

@Suite struct UpstreamPoolTests {
    private func service(_ script: @escaping @Sendable (TestUpstream.Request) -> TestUpstream.Action = { _ in .ok() })
        async throws -> (upstream: TestUpstream, address: UpstreamAddress)
    {
        let upstream = TestUpstream(keys: [], script: script)
        return (upstream, UpstreamAddress(host: "127.0.0.1", port: try await upstream.start()))
    }

    /// A port that nothing listens on.
    private func closedPort() async throws -> UpstreamAddress {
        let (upstream, address) = try await service()
        await upstream.stop()
        return address
    }

    // MARK: Addresses that come and go

    /// The dead one has the least to do, and would be asked first each time.
    @Test func ofTwoAddressesADeadOneFailsNoRequestOfABusyPool() async throws {
        let (upstream, alive) = try await service()
        var limits = UpstreamLimits()
        limits.ordinary.places = 8
        try await TestPool.with([try await closedPort(), alive], limits: limits) { pool async throws in
            try await withThrowingTaskGroup(of: TestPool.Outcome.self) { group in
                for index in 0..<32 {
                    group.addTask {
                        for _ in 0..<10 {
                            let outcome = try await pool.get("/", tenant: nil, mayBeRepeated: index % 2 == 0)
                            if !outcome.isOK { return outcome }
                        }
                        return .answered(200, "")
                    }
                }
                for try await outcome in group { #expect(outcome.isOK) }
            }
            let figures = try await pool.figures()
            #expect(figures.unreachable == 0 && figures.endpoints.count { $0.state == .unreachable } == 1)
            #expect(figures.endpoints.reduce(0) { $0 + $1.roundTrips.counts.reduce(0, +) } == 320)
        }
        await upstream.stop()
    }

    @Test func anAddressThatIsKilledAndStartedAgainFailsNoRequestThatReads() async throws {
        let (steady, first) = try await service()
        let (killed, second) = try await service()
        try await TestPool.with([first, second]) { pool async throws in
            let end = TestPool.End()
            try await withThrowingTaskGroup(of: TestPool.Outcome.self) { group in
                for _ in 0..<32 {
                    group.addTask {
                        while !end.isReached {
                            let outcome = try await pool.get("/")
                            if !outcome.isOK { return outcome }
                        }
                        return .answered(200, "")
                    }
                }
                for _ in 0..<8 {
                    await killed.kill()
                    try await eventually("the loss is seen", every: .milliseconds(5)) {
                        try await pool.figures().endpoints.contains { $0.state != .healthy }
                    }
                    _ = try await killed.start(port: second.port)
                    try await eventually("it is back and has requests", every: .milliseconds(5)) {
                        let endpoints = try await pool.figures().endpoints
                        return endpoints.allSatisfy { $0.state == .healthy && $0.connections > 0 }
                    }
                }
                end.reach()
                for try await outcome in group { #expect(outcome.isOK) }
            }
            let figures = try await pool.figures()
            #expect(figures.overloaded + figures.unreachable + figures.waitedInVain == 0)
        }
        await steady.stop()
        await killed.stop()
    }

    /// Probes go on meanwhile, so a client's request is never the one that finds out.
    @Test func anAddressThatIsBackIsFoundByProbes() async throws {
        let address = try await closedPort()
        try await TestPool.with([address]) { pool async throws in
            #expect(try await pool.get("/first") == .failed(.unreachable))
            #expect(try await pool.get("/second") == .failed(.unreachable))
            #expect(try await pool.figures().endpoints[0].failedConnects == 1)
            let upstream = TestUpstream(keys: []) { _ in .ok() }
            _ = try await upstream.start(port: address.port)
            try await eventually("it is back", every: .milliseconds(10)) { try await pool.figures().endpoints[0].state == .healthy }
            #expect(upstream.requests.isEmpty)
            #expect(try await pool.get("/third").isOK)
            await upstream.stop()
        }
    }

    @Test func namesAreLookedUpAgainAndAllTheirAddressesUsed() async throws {
        let first = TestUpstream(keys: []) { _ in .ok("first") }
        let second = TestUpstream(keys: []) { _ in .ok("second") }
        let port = try await first.start(host: "127.0.0.1")
        _ = try await second.start(host: "127.0.0.2", port: port)
        let known = Mutex(["127.0.0.1"])
        let lookup = NameLookup { name in
            try known.withLock { $0 }.map { try SocketAddress(ipAddress: $0, port: name.port) }
        }
        func answers(_ pool: TestPool) async throws -> Set<String> {
            var found: Set<String> = []
            for _ in 0..<20 { if case .answered(200, let body) = try await pool.get("/") { found.insert(body) } }
            return found
        }
        try await TestPool.with([UpstreamAddress(host: "crm.test", port: port)], lookup: lookup) { pool async throws in
            #expect(try await answers(pool) == ["first"])
            known.withLock { $0 = ["127.0.0.1", "127.0.0.2", "127.0.0.2"] }
            try await pool.lookUp()
            #expect(try await pool.figures().endpoints.map(\.address) == ["127.0.0.1:\(port)", "127.0.0.2:\(port)"])
            #expect(try await answers(pool) == ["first", "second"])
            known.withLock { $0 = ["127.0.0.2"] }
            try await pool.lookUp()
            #expect(try await answers(pool) == ["second"])
            // Nothing found says nothing of the address that is known.
            known.withLock { $0 = [] }
            try await pool.lookUp()
            #expect(try await answers(pool) == ["second"])
            #expect(try await pool.figures().failedLookups >= 1)
        }
        await first.stop()
        await second.stop()
    }

    @Test func theSystemFindsLocalhost() throws {
        let found = try NameLookup.system.addresses(UpstreamAddress(host: "localhost", port: 8103))
        #expect(!found.isEmpty && found.allSatisfy { $0.port == 8103 })
        #expect(throws: NameLookup.Failure.self) { try NameLookup.system.addresses(UpstreamAddress(host: "martlet.invalid", port: 1)) }
    }

    /// Several processes may stand behind one address; that one of them stops is no reason to leave the connections to the others.
    @Test func theEndOfOneConnectionEndsNoOther() async throws {
        let (upstream, address) = try await service { request in
            switch request.target {
            case "/hold": .hold
            case "/bye": .write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            default: .ok()
            }
        }
        try await TestPool.with([address]) { pool async throws in
            let held = try await pool.ask("/hold")
            var holds = upstream.holds.makeAsyncIterator()
            _ = await holds.next()
            #expect(try await pool.get("/bye").isOK)
            upstream.answerHeld()
            #expect(try await held.get().isOK)
            for _ in 0..<5 { #expect(try await pool.get("/").isOK) }
            #expect(upstream.state.withLock { $0.connections } == 2)
        }
        await upstream.stop()
    }

    // MARK: Waiting

    @Test func whoWaitsForTooLongIsToldAndWhoGivesUpIsForgotten() async throws {
        let (upstream, address) = try await service { $0.target == "/hold" ? .hold : .ok() }
        var limits = UpstreamLimits()
        limits.ordinary.places = 1
        limits.longestWait = .milliseconds(100)
        limits.expectedWait = .seconds(60)
        try await TestPool.with([address], limits: limits) { pool async throws in
            let held = try await pool.ask("/hold")
            var holds = upstream.holds.makeAsyncIterator()
            _ = await holds.next()
            #expect(try await pool.get("/late") == .failed(.overloaded))
            #expect(try await pool.figures().waitedInVain == 1)
            upstream.answerHeld()
            #expect(try await held.get().isOK)
            #expect(try await pool.get("/").isOK)
            #expect(try await pool.figures().waiting == [0, 0, 0])
        }
        await upstream.stop()
    }

    @Test func aTenantHasAsManyRequestsUnderWayAsItMay() async throws {
        let (upstream, address) = try await service { $0.target == "/hold" ? .hold : .ok() }
        let (busy, other) = (TenantID(), TenantID())
        try await TestPool.with([address]) { pool async throws in
            let held = [
                try await pool.ask("/hold", tenant: busy, concurrency: 2), try await pool.ask("/hold", tenant: busy, concurrency: 2),
            ]
            var holds = upstream.holds.makeAsyncIterator()
            for _ in 0..<2 { _ = await holds.next() }
            #expect(try await pool.ask("/", tenant: busy, concurrency: 2).get() == .failed(.tenantBusy))
            #expect(try await pool.ask("/", tenant: other, concurrency: 2).get().isOK)
            upstream.answerHeld()
            for outcome in held { #expect(try await outcome.get().isOK) }
            #expect(try await pool.ask("/", tenant: busy, concurrency: 2).get().isOK)
        }
        await upstream.stop()
    }

    @Test func openStreamsAndUploadsTakeNoOrdinaryPlace() async throws {
        let (upstream, address) = try await service { $0.target == "/hold" ? .hold : .ok() }
        let tenant = TenantID()
        var limits = UpstreamLimits()
        limits.ordinary.places = 1
        limits.bulk = .init(places: 2, perTenant: 2)
        limits.stream = .init(places: 3, perTenant: 2)
        try await TestPool.with([address], limits: limits) { pool async throws in
            var open: [EventLoopFuture<TestPool.Outcome>] = []
            for lane in [UpstreamLane.stream, .stream, .bulk, .bulk] {
                open.append(try await pool.ask("/hold", tenant: tenant, lane: lane))
            }
            var holds = upstream.holds.makeAsyncIterator()
            for _ in open { _ = await holds.next() }
            for lane in [UpstreamLane.stream, .bulk] {
                #expect(try await pool.ask("/", tenant: tenant, lane: lane).get() == .failed(.tenantBusy))
            }
            for _ in 0..<5 { #expect(try await pool.get("/", tenant: tenant).isOK) }
            #expect(try await pool.ask("/", tenant: TenantID(), lane: .stream).get().isOK)
            #expect(try await pool.figures().endpoints[0].inUse == [0, 2, 2])
            upstream.answerHeld()
            for outcome in open { #expect(try await outcome.get().isOK) }
        }
        await upstream.stop()
    }

    /// What is left of the request would be taken for the next one.
    @Test func aConnectionWhoseRequestWasNotSentWholeIsNotUsedAgain() async throws {
        let (upstream, address) = try await service { .ok(String($0.number)) }
        try await TestPool.with([address]) { pool async throws in
            #expect(try await pool.ask("/", lane: .bulk, isWhole: false).get() == .answered(200, "0"))
            #expect(try await pool.get("/") == .answered(200, "0"))
            #expect(try await pool.get("/") == .answered(200, "1"))
        }
        await upstream.stop()
    }

    @Test func contentOfChunksIsHandedOnWithoutTheirFraming() async throws {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        let (upstream, address) = try await service { $0.target == "/drip" ? .drip(text) : .write(text) }
        try await TestPool.with([address]) { pool async throws in
            for target in ["/", "/drip"] { #expect(try await pool.get(target) == .answered(200, "hello world")) }
        }
        await upstream.stop()
    }

    // MARK: The gateway's own calls

    /// The last piece is the one that is too much: by then the connection is somebody else's already.
    @Test func anAnswerThatIsTooLargeEndsNoOtherCall() async throws {
        let large = String(repeating: "x", count: (16 << 20) + 10)
        let (upstream, address) = try await service { $0.target == "/large" ? .ok(large) : .ok() }
        var configuration = GatewayConfiguration(contextKeys: TestContextKeys.keys(of: ContextPair.gateway))
        configuration.upstreams[.crm] = [address]
        let caller = ServiceCaller(configuration: configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
        let larges = (0..<4).map { _ in caller.call(.crm, target: "/large", timeout: .seconds(20)) }
        let smalls = (0..<8).map { _ in caller.call(.crm, target: "/small", timeout: .seconds(20)) }
        for call in larges { await #expect(throws: AnswerTooLarge.self) { try await call.get() } }
        for call in smalls { #expect(try await call.get().status == 200) }
        caller.close()
        await upstream.stop()
    }
}
