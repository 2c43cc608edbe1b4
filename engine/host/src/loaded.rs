//! A plugin of any kind that passed every check.

use std::sync::Arc;

use pricedrop_model::plugin::{Bucketing as _, PolicyIdentity};

use crate::contract::bucketing::BucketingPolicy;
use crate::contract::channel::ChannelPlugin;
use crate::contract::throttling::ThrottlingPolicy;
use crate::health::Health;
use crate::meta::Meta;
use pricedrop_model::plugin::Kind;

/// A loaded plugin, which may serve.
#[derive(Clone)]
pub(crate) enum Loaded {
    Bucketing(Arc<BucketingPolicy>),
    Throttling(Arc<ThrottlingPolicy>),
    Channel(Arc<ChannelPlugin>),
}

impl Loaded {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Loaded::Bucketing(_) => Kind::Bucketing,
            Loaded::Throttling(_) => Kind::Throttling,
            Loaded::Channel(_) => Kind::Channel,
        }
    }

    pub(crate) fn meta(&self) -> &Meta {
        match self {
            Loaded::Bucketing(policy) => &policy.plugin.meta,
            Loaded::Throttling(policy) => &policy.plugin.meta,
            Loaded::Channel(channel) => &channel.plugin.meta,
        }
    }

    pub(crate) fn health(&self) -> &Health {
        match self {
            Loaded::Bucketing(policy) => &policy.plugin.health,
            Loaded::Throttling(policy) => &policy.plugin.health,
            Loaded::Channel(channel) => &channel.plugin.health,
        }
    }

    /// The identity of a bucketing policy; none for other kinds.
    pub(crate) fn policy(&self) -> Option<&PolicyIdentity> {
        match self {
            Loaded::Bucketing(policy) => Some(policy.identity()),
            _ => None,
        }
    }

    /// Drops the idle instances, because the plugin no longer serves.
    pub(crate) fn drop_idle_instances(&self) {
        match self {
            Loaded::Bucketing(policy) => policy.plugin.drop_idle_instances(),
            Loaded::Throttling(policy) => policy.plugin.drop_idle_instances(),
            Loaded::Channel(channel) => channel.plugin.drop_idle_instances(),
        }
    }
}
