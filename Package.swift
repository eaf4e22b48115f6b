// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
//
// The layers, lowest first; arrows go down only (docs/architecture.md, checked by scripts/check-style).

import PackageDescription

/// The settings of every target of ours.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),  // SE-0335: an existential is visible, since it costs
    .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409: no C module leaks through an import
    .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444: what is used is imported
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),  // SE-0461: async code stays with its caller
    .enableUpcomingFeature("InferIsolatedConformances"),  // SE-0470
    .strictMemorySafety(),  // SE-0458: `unsafe` marks every pointer
    .treatAllWarnings(as: .error),
]

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: house)
}

func executable(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: house)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], data: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: data, swiftSettings: house)
}

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let collections = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let orderedCollections = Target.Dependency.product(name: "OrderedCollections", package: "swift-collections")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "jackdaw",
    products: [
        .executable(name: "jackdaw-router", targets: ["Router"]),
        .executable(name: "jackdaw-c2s", targets: ["C2S"]),
        .executable(name: "jackdaw-sm", targets: ["SM"]),
        .executable(name: "jackdaw-s2s", targets: ["S2S"]),
        .executable(name: "jackdawctl", targets: ["Ctl"]),
        .executable(name: "jackdaw-load", targets: ["Load"]),
        .executable(name: "jackdaw-instructions", targets: ["Instructions"]),
        .executable(name: "jackdaw-stream-fuzzer", targets: ["StreamFuzzer"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // L0: C libraries, a module map each; only the named target above may import one.
        .systemLibrary(name: "CExpat", pkgConfig: "expat", providers: [.apt(["libexpat1-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CUnistring", providers: [.apt(["libunistring-dev"])]),
        .systemLibrary(name: "CUnbound", providers: [.apt(["libunbound-dev"])]),

        // L1: bytes.
        library("XML", ["CExpat", nioCore, collections]),
        library("TLS", ["COpenSSL", nioCore]),
        library("DNS", ["CUnbound", nioCore]),

        // L2: the vocabulary of XMPP, credentials, configuration, rows.
        library("XMPPCore", ["XML", "CUnistring", nioCore]),
        library("SASL", ["XMPPCore", "COpenSSL", nioCore]),
        library("Config", ["XMPPCore", "CYAML"]),
        library("Storage", ["XMPPCore", "CPQ", nioCore, nioPosix, logging, collections]),

        // L3: streams; what every process does.
        library("XMPPStream", ["XML", "XMPPCore", "SASL", "TLS", nioCore, collections]),
        library("Daemon", ["Config", nioCore, nioPosix, nioHTTP1, logging, lifecycle, unixSignals]),

        // L4: both ends of a component link.
        library(
            "ComponentLink",
            [
                "XML", "XMPPCore", "XMPPStream", "SASL", "TLS", "Config", "Daemon", nioCore, nioPosix, logging,
                collections,
            ]
        ),

        // L5: the processes and the tools.
        executable(
            "Router",
            [
                "XML", "XMPPCore", "XMPPStream", "SASL", "TLS", "ComponentLink", "Config", "Daemon", nioCore, nioPosix,
                logging, lifecycle, collections,
            ]
        ),
        executable(
            "C2S",
            [
                "XML", "XMPPCore", "XMPPStream", "SASL", "TLS", "Storage", "ComponentLink", "Config", "Daemon", nioCore,
                nioPosix, logging, lifecycle, collections,
            ]
        ),
        executable(
            "SM",
            [
                "XML", "XMPPCore", "XMPPStream", "SASL", "Storage", "ComponentLink", "Config", "Daemon", nioCore,
                nioPosix,
                logging, lifecycle, collections, orderedCollections,
            ]
        ),
        executable(
            "S2S",
            [
                "XML", "XMPPCore", "XMPPStream", "SASL", "TLS", "DNS", "ComponentLink", "Config", "Daemon", nioCore,
                nioPosix, logging, lifecycle, collections,
            ]
        ),
        executable(
            "Ctl",
            ["XML", "XMPPCore", "ComponentLink", "Config", "Daemon", nioCore, nioPosix, logging, argumentParser]
        ),

        executable("Load", ["XML", "SASL", "TLS", nioCore, nioPosix, collections, argumentParser]),

        // What scripts/instructions counts.
        .executableTarget(
            name: "Instructions",
            dependencies: ["XML", "XMPPCore", "SASL", "ComponentLink", nioCore],
            path: "Benchmarks/Instructions",
            swiftSettings: house
        ),

        // Tests, one target per target, and the suites over real processes.
        .target(
            name: "TestSupport",
            dependencies: ["Storage", nioCore, nioPosix, logging],
            path: "Tests/TestSupport",
            swiftSettings: house
        ),
        .target(
            name: "XMLTestSupport",
            dependencies: ["XML", nioCore],
            path: "Tests/XMLTestSupport",
            swiftSettings: house
        ),
        // What scripts/fuzz builds with libFuzzer; as it is here, it reads inputs from files.
        .executableTarget(
            name: "StreamFuzzer",
            dependencies: ["XMLTestSupport"],
            path: "Tests/StreamFuzzer",
            swiftSettings: house
        ),
        tests("XMLTests", ["XML", "XMLTestSupport", "TestSupport", nioCore]),
        tests("TLSTests", ["TLS", "TestSupport", nioCore, nioPosix, nioEmbedded]),
        tests("DNSTests", ["DNS", "TestSupport", nioCore, nioPosix]),
        tests(
            "S2STests",
            [
                "S2S", "DNS", "ComponentLink", "XMPPStream", "XMPPCore", "XML", "SASL", "TLS", "Config", "TestSupport",
                "Daemon", nioCore, nioPosix, nioEmbedded, logging,
            ]
        ),
        tests("XMPPCoreTests", ["XMPPCore", "XML", nioCore]),
        tests("SASLTests", ["SASL", "XMPPCore", nioCore]),
        tests("ConfigTests", ["Config"]),
        tests("StorageTests", ["Storage", "TestSupport", "XMPPCore", nioCore, nioPosix, logging]),
        tests("XMPPStreamTests", ["XMPPStream", "XMPPCore", "XML", "TestSupport", nioCore, nioEmbedded]),
        tests("DaemonTests", ["Daemon", "Config", nioCore, nioPosix, nioHTTP1, logging]),
        tests(
            "ComponentLinkTests",
            ["ComponentLink", "XMPPCore", "XML", "SASL", "TestSupport", nioCore, nioPosix, nioEmbedded, logging]
        ),
        tests(
            "RouterTests",
            [
                "Router", "ComponentLink", "XMPPCore", "XML", "SASL", "Config", "Daemon", nioCore, nioPosix,
                nioEmbedded, logging,
            ]
        ),
        tests(
            "C2STests",
            [
                "C2S", "ComponentLink", "XMPPStream", "XMPPCore", "XML", "SASL", "TLS", "Storage", "TestSupport",
                "Config", "Daemon", nioCore, nioPosix, nioEmbedded, logging,
            ]
        ),
        tests(
            "SMTests",
            [
                "SM", "ComponentLink", "XMPPCore", "XML", "Config", "Storage", "TestSupport", nioCore, nioPosix,
                nioEmbedded,
                logging,
            ]
        ),
        tests(
            "SimulationTests",
            [
                "C2S", "SM", "ComponentLink", "XMPPStream", "XMPPCore", "XML", "Storage", "TestSupport", "Config",
                "Daemon", nioCore, nioEmbedded, logging, collections,
            ]
        ),
        tests(
            "CtlTests",
            ["Ctl", "ComponentLink", "XMPPCore", "Config", "Daemon", "TestSupport", argumentParser]
        ),
        tests("LoadTests", ["Load", "SASL", nioCore]),
        tests(
            "EndToEndTests",
            ["TestSupport", "XML", "XMPPCore", "SASL", "TLS", "Config", nioCore, nioPosix],
            data: ["Scenarios"]
        ),
    ]
)
