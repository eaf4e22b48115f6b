// SPDX-License-Identifier: Apache-2.0

package import XMPPCore

/// Which instance owns a user: an epoch, and the instances that share the users.
///
/// *Rendezvous hashing*: each instance has a weight for each user, and the one with the highest weight owns the user.
/// So an instance that joins takes its share from all others and moves nobody else, and of one that leaves only its
/// own users move. The weight is `mix(seed ^ key)`, where `key` is the ``OwnershipKey`` of the user, `seed` is
/// `mix(FNV-1a(name))` of the instance, and `mix` is the finalizer of SplitMix64. Nothing in it depends on the
/// process, the order of joining, or the version of Jackdaw.
///
/// A look-up costs a hash of the address, once, and one `mix` for each instance.
package struct OwnershipMap: Sendable {
    /// Rises with each change; 0 is no map at all.
    package let epoch: UInt64
    /// The instances' names on the router, `sm-1.jackdaw.internal`, in order and each once.
    package let instances: [String]
    /// For each instance, what its name adds to a weight.
    private let seeds: [UInt64]

    package init(epoch: UInt64, instances: some Sequence<String>) {
        self.epoch = epoch
        self.instances = Set(instances).sorted()
        seeds = self.instances.map { Self.mix(OwnershipKey($0.utf8).hash) }
    }

    /// The map before there is one: nobody owns anything.
    package static let none = OwnershipMap(epoch: 0, instances: [])

    /// The instance that owns a user; nil if there is no instance.
    package func owner(of user: BareJID) -> String? {
        owner(of: OwnershipKey(user))
    }

    /// Likewise for the UTF-8 bytes of a prepared bare JID.
    @inlinable package func owner(of bytes: some Sequence<UInt8>) -> String? {
        owner(of: OwnershipKey(bytes))
    }

    package func owner(of key: OwnershipKey) -> String? {
        var owner: Int?
        var highest: UInt64 = 0
        for (index, seed) in seeds.enumerated() {
            let weight = Self.mix(seed ^ key.hash)
            // Weights differ when seeds do. Of two names with the same seed the first one wins, everywhere.
            if owner == nil || weight > highest { (owner, highest) = (index, weight) }
        }
        return owner.map { instances[$0] }
    }

    /// Whether an instance of this name shares in the users.
    package func contains(_ instance: String) -> Bool {
        instances.contains(instance)
    }

    /// The finalizer of SplitMix64 (Stafford's variant 13): a bijection in which each bit of the input changes about
    /// half of the bits of the result. FNV-1a alone leaves the highest bits of similar texts alike.
    private static func mix(_ value: UInt64) -> UInt64 {
        var value = value
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

extension OwnershipMap: Equatable {
    /// The seeds follow from the names.
    package static func == (left: OwnershipMap, right: OwnershipMap) -> Bool {
        left.epoch == right.epoch && left.instances == right.instances
    }
}

extension OwnershipMap: CustomStringConvertible {
    package var description: String { "epoch \(epoch): \(instances.joined(separator: ", "))" }
}
