import Operations
import Redis
import Testing

@Suite struct RedisConfigurationTests {
    @Test(
        arguments: [
            ("redis://localhost", "localhost", 6379, nil, nil, 0), ("redis://:secret@10.0.0.1:7000/3", "10.0.0.1", 7000, nil, "secret", 3),
            ("redis://[::1]:6380/", "::1", 6380, nil, nil, 0),
            ("rediss://martlet:a@b/c:d@cache.example.com", "cache.example.com", 6379, "martlet", "a@b/c:d", 0),
            ("redis://:@h/0", "h", 6379, nil, nil, 0),
        ] as [(String, String, Int, String?, String?, Int)])
    func addressesAreRead(url: String, host: String, port: Int, user: String?, password: String?, database: Int) throws {
        let configuration = try #require(RedisConfiguration(url: url))
        #expect(configuration.place == .server(RedisAddress(host, port)))
        #expect(configuration.user == user && configuration.password == password && configuration.database == database)
        #expect((configuration.tls != nil) == url.hasPrefix("rediss"))
    }

    @Test(arguments: [
        ("redis+sentinel://a,b:7000,[::1]/main", [RedisAddress("a", 26379), RedisAddress("b", 7000), RedisAddress("::1", 26379)], 0),
        ("rediss+sentinel://u:p@a/main/4", [RedisAddress("a", 26379)], 4),
    ])
    func sentinelsAndTheNameOfTheMasterAreRead(url: String, sentinels: [RedisAddress], database: Int) throws {
        let configuration = try #require(RedisConfiguration(url: url))
        #expect(configuration.place == .sentinels(sentinels, master: "main"))
        #expect(configuration.database == database && (configuration.tls != nil) == url.hasPrefix("rediss"))
    }

    @Test(arguments: [
        "", "localhost:6379", "http://localhost", "redis://", "redis://host:port", "redis://host:70000", "redis://host/x",
        "redis://host/0/1",
        "redis://a,b", "redis://user@host", "redis://user:@host", "redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a,/main",
        "redis+sentinel://a/main/x", "sentinel+redis://a/main", "rediss:host",
    ])
    func otherTextsAreNoAddress(url: String) { #expect(RedisConfiguration(url: url) == nil) }

    @Test func aFileOfCertificatesThatCannotBeReadStopsTheStart() {
        let values = ["MARTLET_REDIS_URL": "rediss://host", "MARTLET_REDIS_TLS_ROOT_CERTIFICATES": "/nonexistent.pem"]
        let error = #expect(throws: SettingError.self) { try RedisConfiguration(settings: Settings(values: values)) }
        #expect(error?.description.contains("MARTLET_REDIS_TLS_ROOT_CERTIFICATES") == true)
        #expect(throws: SettingError.self) {
            try RedisConfiguration(settings: Settings(values: ["MARTLET_REDIS_TLS_MODE": "prefer"]))
        }
    }
}
