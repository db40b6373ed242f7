//! The flags of a fault.

use clap::Args;

/// Parameters of a fault. They are text here: what is wrong with them is told all at once.
///
/// A flag that a part of a fault begins with also takes `none`, so that `change` can take the part
/// away again.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Fault (--delay, --loss and the like also take none)")]
pub struct Fault {
    /// Delay every packet, such as 50ms
    #[arg(long, value_name = "TIME")]
    pub delay: Option<String>,
    /// Spread the delay by so much on both sides
    #[arg(long, value_name = "TIME")]
    pub jitter: Option<String>,
    /// How much of one packet's jitter is carried to the next, such as 25%
    #[arg(long, value_name = "PERCENT")]
    pub correlation: Option<String>,
    /// How the jitter is spread: uniform, normal, pareto or paretonormal [default: uniform]
    #[arg(long, value_name = "SHAPE")]
    pub distribution: Option<String>,
    /// Whether packets that the jitter delays less overtake others (reorder) or wait for them
    /// (keep) [default: reorder]
    #[arg(long, value_name = "ORDER")]
    pub jitter_order: Option<String>,
    /// Let so many packets go at once, past those that are delayed
    #[arg(long, value_name = "PERCENT")]
    pub reorder: Option<String>,
    /// How likely the next packet meets the fate of the last one, as netem has it: changes the share
    #[arg(long, value_name = "PERCENT")]
    pub reorder_correlation: Option<String>,
    /// Let only every N-th packet go at once, and those by chance [default: 1]
    #[arg(long, value_name = "N")]
    pub reorder_gap: Option<String>,
    /// Lose so many packets
    #[arg(long, value_name = "PERCENT")]
    pub loss: Option<String>,
    /// How likely the next packet meets the fate of the last one: makes bursts, keeps the rate
    #[arg(long, value_name = "PERCENT")]
    pub loss_correlation: Option<String>,
    /// Lose packets by a chain of two states, a good and a bad one, in percent: the chance to turn
    /// bad, the chance to recover, and what is lost while bad [100] and while good [0]
    #[arg(long, value_name = "P,R[,BAD[,GOOD]]")]
    pub loss_gemodel: Option<String>,
    /// Send so many packets twice
    #[arg(long, value_name = "PERCENT")]
    pub duplicate: Option<String>,
    /// Not used but for --strict-compat, since it would change the share
    #[arg(long, value_name = "PERCENT")]
    pub duplicate_correlation: Option<String>,
    /// Flip a bit in so many packets
    #[arg(long, value_name = "PERCENT")]
    pub corrupt: Option<String>,
    /// Not used but for --strict-compat, since it would change the share
    #[arg(long, value_name = "PERCENT")]
    pub corrupt_correlation: Option<String>,
    /// A link of this speed, such as 10mbit: each packet takes the time of its bytes
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// A token bucket of this speed: what the bucket holds goes at once
    #[arg(long, value_name = "RATE")]
    pub bandwidth: Option<String>,
    /// Bytes that wait for tokens; more is lost [default: the buffer's default and 50 ms of the
    /// rate]
    #[arg(long, value_name = "BYTES")]
    pub bandwidth_limit: Option<String>,
    /// Bytes of the bucket, no less than the longest frame of the device [default: 10 ms of the
    /// rate, at least 10kb]
    #[arg(long, value_name = "BYTES")]
    pub bandwidth_buffer: Option<String>,
    /// The fastest that the bucket is emptied
    #[arg(long, value_name = "RATE")]
    pub bandwidth_peakrate: Option<String>,
    /// Bytes that go at once even so, no less than the longest frame of the device
    #[arg(long, value_name = "BYTES")]
    pub bandwidth_minburst: Option<String>,
    /// Let nothing through, as a cut cable does; --partition=none ends it
    #[arg(long, value_name = "none", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub partition: Option<String>,
    /// Begin netem's random numbers with this one, for runs that repeat (Linux 6.6 and newer)
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Hand probabilities to netem as Chaos Mesh does, whose rates are then not those asked for;
    /// --strict-compat=none ends it
    #[arg(long, value_name = "none", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub strict_compat: Option<String>,
}
