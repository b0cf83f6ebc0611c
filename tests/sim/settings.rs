//! What a seed decides before the run: sizes, settings, how bad the weather is.

use cfgserver::detect::Probing;

use crate::chance::Chance;

/// The settings of one monitored group.
#[derive(Clone, Debug)]
pub(crate) struct GroupSettings {
    pub(crate) replicas: u64,
    pub(crate) quorum: u32,
    pub(crate) down_after_ms: u64,
    pub(crate) refused_after_ms: u64,
    pub(crate) reboot_down_after_ms: u64,
    pub(crate) failover_timeout_ms: u64,
    pub(crate) parallel_syncs: u32,
    pub(crate) strict: bool,
    pub(crate) observe: bool,
}

/// What a seed decides before the run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) nodes: u64,
    pub(crate) groups: Vec<GroupSettings>,
    pub(crate) delay_ms: (u64, u64),
    pub(crate) spikes_permille: u64,
    pub(crate) slow_commit_permille: u64,
    pub(crate) slow_apply_permille: u64,
    pub(crate) late_order_permille: u64,
    pub(crate) loss_permille: u64,
    /// Plans are asked for twice, and must be the same.
    pub(crate) check_plans: bool,
    /// The members are known from the beginning.
    pub(crate) warm: bool,
    pub(crate) version: &'static str,
    pub(crate) lag_ms: u64,
    pub(crate) sync_ms: u64,
    pub(crate) load_ms: u64,
    pub(crate) write_every_ms: u64,
    pub(crate) calm_ms: u64,
    pub(crate) chaos_ms: u64,
    pub(crate) faults: u64,
    /// Operators change things, this often.
    pub(crate) operator_every_ms: u64,
    pub(crate) subscribers: u64,
    pub(crate) proxies: u64,
    /// How many nodes watch a primary closely.
    pub(crate) probing: Probing,
}

impl Settings {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let nodes = *chance.pick(&[1, 3, 3, 3, 3, 3, 3, 3, 5]);
        let groups = *chance.pick(&[1, 1, 1, 1, 1, 2, 2, 3]);
        let rough = chance.permille(400);
        let weather = |chance: &mut Chance, share: u64, high: u64| {
            if rough && chance.permille(share) {
                chance.within(1, high)
            } else {
                0
            }
        };
        let groups: Vec<_> = (0..groups).map(|_| GroupSettings::draw(chance, nodes)).collect();
        let slowest_ms = groups.iter().map(|group| group.down_after_ms).max().unwrap_or_default();
        Self {
            nodes,
            groups,
            delay_ms: *chance.pick(&[(1, 1), (1, 2), (1, 5), (2, 20), (10, 60)]),
            spikes_permille: weather(chance, 500, 30),
            slow_commit_permille: weather(chance, 500, 200),
            slow_apply_permille: weather(chance, 500, 200),
            late_order_permille: weather(chance, 600, 250),
            loss_permille: weather(chance, 400, 100),
            check_plans: chance.permille(100),
            warm: chance.permille(850),
            version: *chance.pick(&["7.0.15", "7.0.15", "7.0.15", "6.2.14", "6.0.16", "2.8.24"]),
            lag_ms: *chance.pick(&[1, 1, 5, 50, 500]),
            sync_ms: *chance.pick(&[20, 200, 1_000, 3_000]),
            load_ms: *chance.pick(&[5, 50, 500, 4_000]),
            write_every_ms: *chance.pick(&[70, 70, 200, 200, 1_000, 1_000, 20_000]),
            calm_ms: 1_200,
            chaos_ms: chaos_ms(chance, slowest_ms),
            faults: chance.within(1, 7),
            operator_every_ms: *chance.pick(&[0, 0, 3_000, 1_000]),
            subscribers: chance.within(1, 3),
            proxies: *chance.pick(&[0, 1, 1, 2]),
            probing: *chance.pick(&[Probing::All, Probing::All, Probing::All, Probing::Few]),
        }
    }
}

/// How long things go wrong: as many windows of silence, whatever those last; now and then for long.
fn chaos_ms(chance: &mut Chance, down_after_ms: u64) -> u64 {
    if chance.permille(150) {
        return chance.within(8_000, 25_000);
    }
    let window_ms = down_after_ms.clamp(700, 2_500);
    chance.within(window_ms * 2, window_ms * 6)
}

impl GroupSettings {
    fn draw(chance: &mut Chance, nodes: u64) -> Self {
        let majority = (nodes / 2 + 1) as u32;
        Self {
            replicas: *chance.pick(&[1, 2, 2, 2, 3, 4]),
            quorum: *chance.pick(&[majority, majority, majority, 1, nodes as u32]),
            down_after_ms: *chance.pick(&[500, 1_000, 1_000, 2_000, 5_000]),
            refused_after_ms: *chance.pick(&[0, 0, 100, 300]),
            reboot_down_after_ms: *chance.pick(&[0, 0, 500]),
            failover_timeout_ms: *chance.pick(&[5_000, 30_000, 180_000]),
            parallel_syncs: *chance.pick(&[1, 1, 2, 5]),
            strict: chance.permille(100),
            observe: chance.permille(40),
        }
    }
}
