//! What a configuration adds: demands on the copies, settings of gateways.

use crate::{Ran, World};

/// A call with this configuration, besides version and copies.
fn with(world: &World, more: &str, arguments: &[&str]) -> Ran {
    let text = format!(
        "version = 1\n\
         [[copy]]\nurl = \"{a}\"\nmedium = \"disk\"\nregion = \"eu-central-1\"\n\
         [[copy]]\nurl = \"{b}\"\nmedium = \"tape\"\nregion = \"eu-west-1\"\noffsite = true\n{more}",
        a = world.text("a"),
        b = world.text("b"),
    );
    std::fs::write(world.path("c.toml"), text).unwrap();
    let mut command = world.command(&["--config", "c.toml", "--json"]);
    command.env_remove("GWBACKUP_REPO").env("TOKEN_OF_TEST", "t0ken").args(arguments);
    command.output().unwrap().into()
}

#[test]
fn copies_that_break_the_policy_are_15() {
    let world = World::new();
    let before = world.files(&["a", "b"]);
    for (policy, word) in [
        ("copies = \"3-2-1\"", "demands 3 copies"),
        ("copies = \"2-2-2\"", "offsite"),
        ("regions = [\"us-*\"]", "eu-central-1"),
        ("regions = [\"eu-central-*\"]", "eu-west-1"),
    ] {
        let policy = format!("[policy]\n{policy}\n");
        with(&world, &policy, &["list"]).fails(15, word);
        let backup = ["backup", "kong.yml", "--app", "a", "--env", "b"];
        with(&world, &policy, &backup).fails(15, word);
    }
    assert_eq!(world.files(&["a", "b"]), before, "nothing was written");
    with(&world, "[policy]\ncopies = \"2-2-1\"\nregions = [\"eu-*\"]\n", &["list"]).ends(0);
    with(&world, "[policy]\ncopies = \"three\"\n", &["list"]).fails(64, "no rule for copies");
    with(&world, "[policy]\ncolour = \"red\"\n", &["list"]).fails(64, "colour");
}

#[test]
fn a_gateway_gets_its_token_from_where_the_configuration_says() {
    let world = World::new();
    std::fs::write(world.path("token"), "t0ken\n").unwrap();
    let gateway = |token: &str| {
        let url = world.text("kong.yml");
        format!(
            "[gateway.shop]\nurl = \"{url}\"\napp = \"shop\"\nenv = \"prod\"\nca = \"/ca.pem\"\n\
             import_hook = [\"kong\", \"{{file}}\"]\ntoken = {token}\n"
        )
    };
    let file = format!("{{ file = \"{}\" }}", world.text("token"));
    let good = ["{ env = \"TOKEN_OF_TEST\" }", &file, "{ command = [\"echo\", \"t0ken\"] }"];
    for token in good {
        let ran = with(&world, &gateway(token), &["backup", "shop", "-vvv"]).ends(0);
        assert!(!ran.out.contains("t0ken") && !ran.err.contains("t0ken"), "{ran:?}");
    }
    for (token, word) in [
        ("{ env = \"NOT_SET_IN_TEST\" }", "NOT_SET_IN_TEST"),
        ("{ file = \"/no/such/token\" }", "/no/such/token"),
        ("{ command = [\"false\"] }", "false"),
        ("{ command = [] }", "no program"),
        ("\"t0ken\"", "expected one of `env`"),
        ("{ env = [\"t0ken\"] }", "expected a string"),
        ("{ vault = \"x\" }", "expected one of `env`"),
    ] {
        let ran = with(&world, &gateway(token), &["backup", "shop"]).fails(64, word);
        assert!(!ran.err.contains("t0ken"), "{ran:?}");
    }
}

#[test]
fn the_page_about_the_file_is_true() {
    let world = World::new();
    let page = std::fs::read_to_string("docs/configuration.md").unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    // Its key is not there: everything before was understood.
    std::fs::write(world.path("page.toml"), example.replace("648baf28…", &"0".repeat(64))).unwrap();
    let mut command = world.command(&["list", "--config", "page.toml", "--json"]);
    command.env_remove("GWBACKUP_KEY");
    Ran::from(command.output().unwrap()).fails(12, "/etc/gwbackup.key");
}
