//! Components that are added and removed while the server runs.

use std::sync::Arc;

use super::Realm;
use crate::components::Component;
use crate::effect::{Effects, Origin};
use crate::messages::{Mail, Order};

impl Realm {
    /// Adds a component, or puts it in the place of the one of its name. `false`: there are too
    /// many.
    pub fn add_component(self: &Arc<Realm>, component: Component) -> bool {
        let done = self.site.components.put(component);
        self.tell_peers();
        done
    }

    /// Takes a component out: what waits for it goes back to its senders. `false`: there is none.
    pub fn remove_component(self: &Arc<Realm>, name: &str) -> bool {
        let component = self.site.components.find(name);
        let done = self.site.components.remove(name);
        self.tell_peers();
        if let Some(component) = component {
            self.hurry(&component.pair());
        }
        done
    }

    /// A component has connected: extensions hear of it, and so do the accounts of its domain that
    /// are in memory, if it may do anything with them.
    pub(crate) fn welcome(self: &Arc<Realm>, component: &Arc<Component>) {
        let mut fx = Effects::new(self.site.now(), Origin::Elsewhere);
        let extensions = self.site.extensions.iter().enumerate();
        for (index, role) in extensions.filter_map(|(index, it)| Some((index, it.domain?))) {
            fx.for_extension(index);
            role.component_came(component, &self.site, &mut fx);
        }
        self.replies(fx);
        if component.rights.is_empty() {
            return;
        }
        for key in self.living(Some(self.site.home_of(&component.name))) {
            let order = Order::ComponentCame(Arc::clone(component));
            // Who is not there any more has nobody to tell of.
            let _ = self.directory.send(&key, Mail::Order(order));
        }
    }

    /// Other servers reach components by the same streams as everybody here.
    fn tell_peers(&self) {
        if let Some(peers) = &self.peers {
            peers.set_domains(self.site.all_domains());
        }
    }
}
