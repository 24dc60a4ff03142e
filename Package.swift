// swift-tools-version: 6.2
import PackageDescription

/// Release builds do without checks of exclusive access at run time, which took a fifth of the gateway's CPU time per request
/// (measured side by side). Debug builds, and so all tests, keep them.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

// Products of the packages below, named once.
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let jwt = Target.Dependency.product(name: "JWTKit", package: "jwt-kit")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let nio: [Target.Dependency] = ["NIOCore", "NIOPosix", "NIOConcurrencyHelpers"].map {
    .product(name: $0, package: "swift-nio")
}

/// A C library of the system: a module map and a shim header, found with pkg-config.
func cLibrary(_ name: String, pkgConfig: String? = nil, apt: String) -> Target {
    .systemLibrary(name: name, path: "Shared/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

/// A module under `Shared/`.
func shared(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = [], exclude: [String] = []) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Shared/\(name)", exclude: exclude, resources: resources,
        swiftSettings: settings)
}

/// A service: the library with everything it does, and the thin executable `martlet-<name>`.
func service(
    _ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = [], exclude: [String] = []
) -> [Target] {
    [
        .target(
            name: name,
            dependencies: ["Core", "Postgres", "Resources", "ServiceRuntime", "Contracts", "Operations", logging] + dependencies,
            path: "Services/\(name)", exclude: ["Main"] + exclude, resources: [.copy("Migrations")] + resources, swiftSettings: settings),
        .executableTarget(
            name: "martlet-\(name.lowercased())", dependencies: [.target(name: name), "ServiceRuntime", argumentParser],
            path: "Services/\(name)/Main", swiftSettings: settings),
    ]
}

/// The tests of one target, in the folder of the target's name.
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies + ["TestSupport"], path: "Tests/\(name)Tests", exclude: exclude,
        swiftSettings: settings)
}

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    ],
    targets: [
        cLibrary("CLibPQ", pkgConfig: "libpq", apt: "libpq-dev"),
        // Its pkg-config file has a flag that SwiftPM refuses; header and library are where the compiler looks anyway.
        cLibrary("CHiredis", apt: "libhiredis-dev"),
        cLibrary("CNGHTTP2", pkgConfig: "libnghttp2", apt: "libnghttp2-dev"),
        cLibrary("COpenSSL", pkgConfig: "libcrypto", apt: "libssl-dev"),
        cLibrary("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),

        shared("Core", [crypto], exclude: ["Text/LICENSE.libphonenumber"]),
        shared("Postgres", ["Core", "CLibPQ", logging, lifecycle]),
        shared("Redis", ["CHiredis", "Operations", logging, nioSSL] + nio),
        shared("Resources", ["Core", "Postgres", crypto]),
        shared("Contracts", ["Core", "Operations"]),
        shared("Operations", ["Core", logging]),
        shared(
            "ServiceRuntime",
            [
                "Core", "Postgres", "Redis", "Resources", "Contracts", "Operations", hummingbird, asyncHTTPClient, lifecycle,
                unixSignals, logging, argumentParser, .product(name: "NIOHTTP1", package: "swift-nio"),
            ] + nio, resources: [.copy("Foundation")]),
    ]
        + service(
            "Identity", ["COpenSSL", "Redis", jwt, crypto, argumentParser, asyncHTTPClient] + nio, exclude: ["README.md"])
        + service("Tenant", ["Redis", crypto] + nio, resources: [.copy("Plans/plans.json")], exclude: ["README.md"])
        + service("CRM", exclude: ["README.md"])
        + service("Activity", [crypto], exclude: ["README.md"])
        + service("Support")
        + [
            .target(
                name: "Gateway",
                dependencies: [
                    "CNGHTTP2", "CZlib", "Core", "Contracts", "Operations", "Redis", jwt, crypto, logging, lifecycle, nioSSL, nioTLS,
                ] + nio,
                path: "gateway", exclude: ["Main", "README.md"], resources: [.copy("Operation/docs.html")], swiftSettings: settings),
            .executableTarget(
                name: "martlet-gateway", dependencies: ["Gateway", "Operations", argumentParser, lifecycle, unixSignals, logging],
                path: "gateway/Main", swiftSettings: settings),

            .executableTarget(
                name: "bench-postgres", dependencies: ["Core", "Postgres", logging], path: "Tests/Benchmarks/Postgres",
                swiftSettings: settings),

            // Jobs that tests have done by processes, which they stop and kill.
            .executableTarget(
                name: "martlet-test-worker", dependencies: ["Core", "Postgres", "Operations", "ServiceRuntime", "CRM", "TestProbes"],
                path: "Tests/TestWorker",
                swiftSettings: settings),
            // Routes that stream, which the services do not have yet.
            .target(
                name: "TestProbes", dependencies: ["Core", "Contracts", "Operations", crypto], path: "Tests/TestProbes",
                swiftSettings: settings),
            .target(
                name: "TestSupport",
                dependencies: [
                    "Core", "Postgres", "ServiceRuntime", "Operations", asyncHTTPClient, logging,
                    .product(name: "NIOHTTP1", package: "swift-nio"),
                ] + nio,
                path: "Tests/TestSupport", swiftSettings: settings),
            tests("Operations", ["Operations", "ServiceRuntime", "Identity", "Tenant", "Gateway"]),
            tests("Core", ["Core", crypto], exclude: ["roles.golden.txt", "codes.golden.txt", "phones.tsv", "recurrences.tsv"]),
            tests("Postgres", ["Postgres", "CLibPQ"]),
            tests("Redis", ["Redis", "Operations", logging] + nio),
            tests(
                "Gateway",
                [
                    "Gateway", "CNGHTTP2", "Contracts", "Redis", "Core", "Operations", "ServiceRuntime", "CRM", "TestProbes", jwt, crypto,
                    nioSSL,
                ] + nio),
            tests(
                "Resources", ["Resources", "ServiceRuntime", "Postgres", "Core", "Contracts", "CRM", "Support"],
                exclude: ["Subscription/0001_create_subscription.sql"]),
            tests(
                "ServiceRuntime",
                [
                    "ServiceRuntime", "CRM", "Activity", "Tenant", "Support", "Contracts", "Operations", "Postgres", "Resources",
                    "TestProbes", crypto,
                ] + nio),
            tests("Identity", ["Identity", "Tenant", "Operations"]),
            tests("Tenant", ["Tenant"]),
            tests("CRM", ["CRM", "Operations", "Postgres"]),
            tests("Activity", ["Activity", "Operations"]),
            tests("Support", ["Support", "Operations", "Postgres"]),
            tests(
                "System", ["Identity", "Tenant", "CRM", "Activity", "Support", "Gateway", "Contracts", "Operations"],
                exclude: ["outcomes.golden.txt"]),
        ]
)
