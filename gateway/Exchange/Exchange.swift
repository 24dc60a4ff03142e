import Core
import NIOCore

/// One request, from its head to the last byte of its answer. Made when the head is there, ended with the answer, and never used again:
/// whoever calls back late, as Redis or a service does for a client that has gone, holds the exchange itself and finds it ended.
///
/// The layers judge it (`Layers/`), then its body is gathered and it goes to its service (`Exchange+Upstream.swift`), or the body goes on
/// as it comes (`Exchange+Upload.swift`), unless the gateway answers itself (`Exchange+Answers.swift`). Which protocol carries it, it does
/// not know.
final class Exchange: Slotted {
    let worker: Worker
    let client: Client
    /// The settings in force when it began.
    let policy: GatewayPolicy
    let head: RequestHead
    /// The head as it came; the slices of ``head`` are of it.
    let bytes: ByteBuffer
    let startedAt = NIODeadline.now()
    let wallClock = Timestamp.now
    /// When the client is told that it took too long, its body or the answer.
    var deadline: NIODeadline
    /// Gone when the exchange has ended.
    private(set) var transport: (any ExchangeTransport)?
    var machine = ExchangeStateMachine()

    // What the layers find out.
    var requestID: RequestID
    var trace: TraceContext
    var route: RouteTable.Route?
    /// What of it is a stream; `nil` for most.
    var streaming: Streaming?
    /// Who asks, with a token that holds.
    var token: VerifiedToken?
    /// What is wrong with the request; told after it has been counted.
    var refusal: Problem?
    /// The genuine token of a request that is refused: it counts for its user.
    var refusedToken: VerifiedToken?
    /// The limit that counts, when there is no token.
    var addressLimit: LeasedBucket?
    /// Whose request it is, by address.
    private(set) lazy var address = findAddress()
    private var layer = 0

    /// The body, as far as it has come and has not gone on.
    var body = ByteBuffer()
    /// Bytes of it that the worker counts.
    var heldBytes = 0
    /// Set for a body that goes on as it comes.
    var upload: StreamedBody?
    let hasBody: Bool
    /// Its place among the worker's ``Worker/gathering``.
    var slot: Int?

    // The way to the service.
    var request = ByteBuffer()
    var waiter: UpstreamWaiter?
    var upstream: UpstreamConnection?
    var attempts = 0
    /// The answer's content, where it is compressed on its way.
    var compressed: CompressedContent?
    /// Whether the answer goes on for as long as it is taken.
    var isOpenEnded = false
    /// The status told to the client; 0 when it was told nothing.
    var status = 0
    /// Of the answer's body.
    var bytesSent = 0

    /// - Parameter bytes: The head; the slices of `head` are of it.
    init(worker: Worker, client: Client, transport: any ExchangeTransport, head: RequestHead, bytes: ByteBuffer, hasBody: Bool) {
        self.worker = worker
        self.client = client
        self.transport = transport
        self.head = head
        self.bytes = bytes
        self.hasBody = hasBody
        policy = worker.policy
        deadline = startedAt + policy.settings.requestTimeout
        requestID = .made(worker.random.next(), worker.random.next())
        trace = TraceContext(random: &worker.random)
        worker.inFlight += 1
    }

    var isEnded: Bool { machine.isEnded }
    /// Whether the client has a part of the answer and waits for more.
    var isAnswering: Bool { machine.state == .answering }

    func withHeadBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result { bytes.withUnsafeReadableBytes(body) }

    // MARK: Layers

    func start() { passLayers() }

    /// Answers a head that cannot be trusted.
    func refuse(_ fault: HeadFault) { refuse(refusalAtEdge() ?? fault.problem) }

    /// Goes on where a layer has waited. Does nothing once the exchange has ended.
    func resume(_ verdict: Verdict) {
        guard machine.state == .judging else { return }
        if follow(verdict) { passLayers() }
    }

    private func passLayers() {
        while layer < LayerStack.all.count {
            let present = layer
            layer += 1
            guard follow(LayerStack.all[present].admit(self)) else { return }
        }
        if case .upload(_, let limit) = streaming {
            upload = StreamedBody(limit: limit, floor: SpeedFloor(policy.settings), isWhole: !hasBody)
        }
        // A client that waits to be asked for its body is asked when the service is there for it.
        let isReady = !hasBody || upload != nil && transport?.awaitsContinue ?? false
        perform(machine.handle(.admitted(isReady: isReady)))
    }

    /// - Returns: Whether the next layer is asked.
    private func follow(_ verdict: Verdict) -> Bool {
        switch verdict {
        case .goOn: return true
        case .answer(let answer): respond(answer)
        case .refuse(let problem): refuse(problem)
        case .wait: break
        }
        return false
    }

    func perform(_ action: ExchangeStateMachine.Action) {
        switch action {
        case .awaitBody: awaitBody()
        case .acquire: acquire()
        case .holdBody: holdBody()
        case .takeBody: takeBody()
        case .refuseLateBody: refuse(lateBody)
        case .refuseLateAnswer: answerTooLate()
        case .nothing, .send, .relayHead, .relayPart, .refuseForService, .abortAnswer, .endAnswer, .answer, .leave: break
        }
    }

    // MARK: The body

    private func awaitBody() {
        worker.gathering.insert(self)
        if upload != nil { return takeBody() }
        deadline = .now() + policy.settings.bodyTimeout
        transport?.startBody()
    }

    /// A part of the body is here.
    func receive(_ part: ByteBuffer, isLast: Bool) {
        if upload != nil { return receiveUpload(part, isLast: isLast) }
        guard machine.state == .gathering else { return }
        guard body.readableBytes + part.readableBytes <= bodyLimit else { return refuse(bodyTooLarge) }
        guard keep(part), isLast else { return }
        bodyIsReady(.bodyIsWhole)
    }

    /// Adds a part to ``body``.
    ///
    /// - Returns: Whether there was room for it; otherwise the exchange has ended.
    func keep(_ part: ByteBuffer) -> Bool {
        guard worker.reserve(part.readableBytes, for: self) else {
            refuseForRoom()
            return false
        }
        heldBytes += part.readableBytes
        if body.readableBytes == 0 {
            body = part
        } else {
            var part = part
            body.writeBuffer(&part)
        }
        return true
    }

    /// The request can be sent on.
    func bodyIsReady(_ event: ExchangeStateMachine.Event) {
        worker.gathering.remove(self)
        // The service has its whole time, however long the client took. What the client may do can have changed meanwhile.
        deadline = .now() + policy.settings.requestTimeout
        if let token, let problem = Authenticate.fault(of: token, self) { return refuse(problem) }
        perform(machine.handle(event))
    }

    /// The body will not become whole.
    func bodyFailed(_ fault: BodyFault) {
        switch machine.state {
        case .gathering, .waiting, .streaming, .heldBack: break
        case .judging, .sent, .answering, .ended: return
        }
        switch fault {
        case .malformed: refuse(HeadFault.malformed("The body's chunked framing is malformed.").problem)
        case .tooMuchFraming: refuse(bodyTooLarge)
        }
    }

    /// Ends a request whose body there is no room for.
    func refuseForRoom() {
        refuse(Problem(.overloaded, "Too many requests are being received. Try again shortly.", retryAfter: 1))
    }

    /// Bytes.
    var bodyLimit: Int { if case .upload(_, let limit) = streaming { limit } else { policy.settings.bodyLimit } }

    var bodyTooLarge: Problem { Problem(.bodyTooLarge, "The body is larger than \(bodyLimit) bytes.") }

    /// The client did not send its body in time. That is not the service's fault, which has not seen the request.
    private var lateBody: Problem {
        if upload != nil { return Problem(.requestTimeout, "The body came at less than \(policy.settings.uploadFloor) bytes a second.") }
        return Problem(
            .requestTimeout, "The body did not arrive whole within \(policy.settings.bodyTimeout.nanoseconds / 1_000_000_000) s.")
    }

    // MARK: The end

    /// Called a few times a second.
    func checkDeadline(now: NIODeadline) {
        if upload != nil { countHeld() }
        if now >= deadline { perform(machine.handle(.deadline)) }
    }

    /// The client has gone. What it has asked for is done all the same, and counts for as much as the answer will tell.
    func clientGone() {
        guard case .leave(let held) = machine.handle(.clientGone) else { return }
        giveUp(held, clientHasGone: true)
        finish()
    }

    /// Counts and logs the request, once. The exchange must have ended.
    ///
    /// - Returns: What carried it, for the last bytes of the answer.
    @discardableResult func finish() -> (any ExchangeTransport)? {
        let microseconds = Int((NIODeadline.now() - startedAt).nanoseconds / 1000)
        worker.inFlight -= 1
        compressed = nil
        worker.gathering.remove(self)
        worker.hold(-heldBytes)
        if isOpenEnded { worker.openStreams -= 1 }
        worker.metrics.record(route: route?.index, service: route?.service, status: status, microseconds: microseconds)
        log(microseconds)
        defer { transport = nil }
        return transport
    }
}

extension Exchange {
    private func log(_ microseconds: Int) {
        if policy.settings.accessLog == .off { return }
        var entry = AccessLog.Entry(method: head.method, route: route, status: status, microseconds: microseconds, trace: trace)
        entry.bytesSent = bytesSent
        entry.lane = lane
        if let transport { entry.version = transport.version }
        if policy.settings.logsClients {
            entry.client = address
            entry.user = (token ?? refusedToken).map { Array($0.claims.user.description.utf8) }
        }
        withRequestID { worker.log.write(entry, requestID: $0, tenant: token?.tenantText, now: wallClock) }
    }
}

/// What the request is about, as the layers ask it.
extension Exchange {
    /// Whether the path may be asked for without a token.
    var isOpen: Bool { route?.isOpen ?? isOwnPage }

    /// Whether the gateway itself has what is asked for.
    var isOwnPage: Bool { route == nil && withHeadBytes { OwnPages.has($0[head.path]) } }

    /// Whether the path is one that makes a session, for which a token at hand does not matter.
    var isSignIn: Bool {
        guard let route, route.isOpen else { return false }
        return route.prefix == RouteTable.signIn && !isRefresh && !isForMembers
    }

    var isRefresh: Bool { withHeadBytes { $0[head.path].equals(RouteTable.refresh) } }

    /// Whether a request whose token was refused goes on as one without: to sign in, but not to what only members do.
    var admitsRefusedToken: Bool { isOpen && !isForMembers }

    /// Which tenant it names beside its token.
    var namedTenant: TenantResolution.Name {
        withHeadBytes { policy.tenantResolution.named(tenant: $0[head.tenant], host: $0[head.host]) }
    }

    private var isForMembers: Bool { withHeadBytes { RouteTable.isForMembers($0[head.path]) } }

    fileprivate func findAddress() -> IPAddress? {
        guard let peer = client.address else { return nil }
        return withHeadBytes { policy.proxies.client(of: head, $0, peer: peer) }
    }
}
