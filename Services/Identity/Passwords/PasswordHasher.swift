import Core
import NIOPosix
import Synchronization

/// Computes password hashes on threads of its own: as many at once as there are cores, a few waiting, and no more.
///
/// A hash takes a quarter of a second of a core and 32 MiB by intention, so whoever may ask for many at once could stop the
/// service; beyond the queue the answer is 503, at once. Half of the places are for signing in alone: nothing else that many can do
/// keeps people out.
public final class PasswordHasher: Sendable {
    public let parameters: Scrypt
    private let threads: NIOThreadPool
    private let capacity: Int
    private let pending = Atomic<Int>(0)
    /// Stands in for the hash of a user who is not there, so that looking takes the same time.
    private let decoy: PasswordHash

    /// - Parameters:
    ///   - concurrency: hashes computed at once.
    ///   - queue: callers that may wait beyond those.
    public init(parameters: Scrypt = .standard, concurrency: Int, queue: Int = 32) {
        self.parameters = parameters
        capacity = concurrency + queue
        threads = NIOThreadPool(numberOfThreads: concurrency)
        threads.start()
        decoy = PasswordHash(
            parameters: parameters, salt: Self.randomBytes(Scrypt.saltLength), hash: Self.randomBytes(Scrypt.hashLength))
    }

    /// Ends the threads once they have finished what they have; the hasher takes no work after it.
    public func shutdown() async throws { try await threads.shutdownGracefully() }

    /// Hashes a password with a new salt.
    ///
    /// - Parameter isSignIn: whether somebody waits to sign in; others have half of the places.
    /// - Throws: ``Problem`` `overloaded` when the queue is full.
    public func hash(_ password: String, isSignIn: Bool = false) async throws -> PasswordHash {
        let salt = Self.randomBytes(Scrypt.saltLength)
        let hash = try await derive(password, parameters, salt: salt, length: Scrypt.hashLength, isSignIn: isSignIn)
        return PasswordHash(parameters: parameters, salt: salt, hash: hash)
    }

    /// Whether the password is the one that was hashed. Without a hash the answer is no, after the same time.
    ///
    /// - Parameter isSignIn: whether somebody waits to sign in; others have half of the places.
    /// - Throws: ``Problem`` `overloaded` when the queue is full.
    public func verify(_ password: String, against stored: PasswordHash?, isSignIn: Bool = true) async throws -> Bool {
        let reference = stored ?? decoy
        let hash = try await derive(
            password, reference.parameters, salt: reference.salt, length: reference.hash.count, isSignIn: isSignIn)
        return reference.matches(hash) && stored != nil
    }

    /// Whether a stored hash was made at another cost than is now asked for.
    public func isOutdated(_ hash: PasswordHash) -> Bool { hash.parameters != parameters }

    private func derive(
        _ password: String, _ parameters: Scrypt, salt: [UInt8], length: Int, isSignIn: Bool
    ) async throws -> [UInt8] {
        let ahead = pending.wrappingAdd(1, ordering: .relaxed).oldValue
        defer { pending.wrappingSubtract(1, ordering: .relaxed) }
        guard ahead < (isSignIn ? capacity : max(1, capacity / 2)) else {
            throw Problem(.overloaded, "Too many sign-ins at the moment.", retryAfter: 2)
        }
        // However a keyboard puts an ü together, it is the same password (RFC 8265, section 4.2: NFC).
        let bytes = Array(PlainText.nfc(password).utf8)
        return try await threads.runIfActive { try parameters.derive(password: bytes, salt: salt, length: length) }
    }

    private static func randomBytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in generator.next() }
    }
}
