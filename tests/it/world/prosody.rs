//! The same world with Prosody in the server's place. What a server of twenty years does not do
//! either is more likely a fault of the test.

use super::{World, password};
use std::process::Command;

pub fn command(world: &World) -> Command {
    let folder = world.folder();
    std::fs::create_dir_all(world.data()).expect("data folder");
    let certificate = folder.join("test.crt");
    let key = folder.join("test.key");
    if !key.exists() {
        let names = vec!["a.test".to_string(), "b.test".to_string()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(&certificate, made.cert.pem()).expect("certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("key");
    }
    let file = folder.join("prosody.cfg.lua");
    std::fs::write(&file, configuration(world)).expect("configuration");
    let mut command = Command::new("prosody");
    command.arg("--config").arg(file).arg("-F");
    command
}

/// Makes an account by Prosody's own command.
pub fn account(world: &World, user: &str, domain: &str) {
    let status = Command::new("prosodyctl")
        .arg("--config")
        .arg(world.folder().join("prosody.cfg.lua"))
        .args(["register", user, domain, &password(user)])
        .output()
        .expect("prosodyctl");
    assert!(status.status.success(), "{status:?}");
}

fn configuration(world: &World) -> String {
    let plain = world.plan.plaintext == "loopback";
    let rates = match world.plan.trusted {
        true => "",
        false => "limits = { c2s = { rate = \"32kb/s\" } }",
    };
    format!(
        "run_as_root = true\n\
         daemonize = false\n\
         data_path = {data:?}\n\
         pidfile = {pid:?}\n\
         admins = {{ \"admin@a.test\" }}\n\
         modules_enabled = {{ \"roster\", \"saslauth\", \"tls\", \"disco\", \"ping\", \"register\",\
          \"private\", \"vcard\", \"blocklist\", \"time\", \"version\", \"lastactivity\", \
         \"smacks\", \"admin_adhoc\", \"limits\", \"server_contact_info\", \"uptime\" }}\n\
         modules_disabled = {{ \"s2s\" }}\n\
         interfaces = {{ \"127.0.0.1\" }}\n\
         c2s_ports = {{ {c2s} }}\n\
         c2s_direct_tls_ports = {{ {c2s_tls} }}\n\
         c2s_require_encryption = {encrypted}\n\
         allow_unencrypted_plain_auth = {plain}\n\
         allow_registration = {register}\n\
         authentication = \"internal_hashed\"\n\
         ssl = {{ key = {key:?}, certificate = {certificate:?} }}\n\
         {rates}\n\
         log = {{ info = \"*console\" }}\n\
         VirtualHost \"a.test\"\n\
         VirtualHost \"b.test\"\n",
        data = world.data(),
        pid = world.folder().join("pid"),
        c2s = world.c2s.port(),
        c2s_tls = world.c2s_tls.port(),
        encrypted = !plain,
        register = world.plan.open_registration,
        key = world.folder().join("test.key"),
        certificate = world.folder().join("test.crt"),
    )
}
