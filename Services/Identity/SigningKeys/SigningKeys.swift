import Core

/// The signing keys as this process knows them, read again when they are older than ``maximumAge``.
actor SigningKeys {
    /// Several of these fit into ``SigningKeyStore/notice``: no process signs with a key that another does not publish yet.
    static let maximumAge: Duration = .seconds(20)

    private let store: SigningKeyStore
    private let rotationPeriod: Duration
    private var keys: [SigningKey] = []
    private var readAt: ContinuousClock.Instant?

    init(store: SigningKeyStore, rotationPeriod: Duration) {
        self.store = store
        self.rotationPeriod = rotationPeriod
    }

    /// The key that signs now: the newest whose time has come.
    ///
    /// - Throws: ``PostgresError``, ``KeySealError``.
    func signing() async throws -> SigningKey {
        let keys = try await published()
        let now = Timestamp.now
        // The clock that made the first key may be ahead of this one; its key is the one there is.
        guard let key = keys.first(where: { $0.signsFrom <= now }) ?? keys.last else { throw Problem.internal("no signing key") }
        return key
    }

    /// Every key that may verify a token, and those that soon sign.
    func published() async throws -> [SigningKey] {
        if let readAt, ContinuousClock.now - readAt < Self.maximumAge, !keys.isEmpty { return keys }
        do {
            var current = try await store.keys()
            if current.isEmpty {
                _ = try await store.rotate(every: rotationPeriod)
                current = try await store.keys()
            }
            keys = current
            readAt = .now
        } catch {
            // Known keys stay good for a while: a database away does not stop sign-ins that need no more than them.
            guard !keys.isEmpty, !(error is KeySealError) else { throw error }
        }
        return keys
    }

    /// Rotates when it is time, and reads what came of it.
    func rotate() async throws {
        _ = try await store.rotate(every: rotationPeriod)
        readAt = nil
        _ = try await published()
    }
}
