//! What `template.yaml` defines: the tables, which tests create as they are deployed, and what each function is given.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement};
use saphyr::{LoadableYamlNode, Yaml};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Read once: it takes as long as a test.
static TEMPLATE: LazyLock<Yaml<'static>> = LazyLock::new(|| {
    let text = include_str!("../../../template.yaml");
    let mut documents = Yaml::load_from_str(text).expect("template.yaml is YAML");
    documents.remove(0)
});

/// A function, as the template defines it.
pub struct Function {
    /// Seconds until Lambda ends an invocation.
    pub timeout: i64,
    pub variables: BTreeMap<String, Value>,
}

/// The value of a function's environment variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// That of a parameter, with this default.
    Parameter(String),
    /// The name or ARN of the resource with this logical id.
    Resource(String),
    /// The variable is set only if a parameter asks for it.
    LeftOut,
}

/// The value at which an alarm sounds.
#[must_use]
pub fn threshold(alarm: &str) -> i64 {
    let properties = &TEMPLATE["Resources"][alarm]["Properties"];
    properties["Threshold"].as_integer().expect("an integer")
}

/// What the template says of a parameter, such as its `AllowedPattern`.
#[must_use]
pub fn parameter(name: &str, property: &str) -> String {
    string(&TEMPLATE["Parameters"][name][property])
}

/// The functions, by the names of their programs.
#[must_use]
pub fn functions() -> BTreeMap<String, Function> {
    let resources = TEMPLATE["Resources"].as_mapping().expect("a mapping");
    let functions = resources
        .iter()
        .filter(|(_, resource)| resource["Type"].as_str() == Some("AWS::Serverless::Function"));
    let function = |(_, resource): (&Yaml, &Yaml)| {
        let properties = &resource["Properties"];
        let variables = properties["Environment"]["Variables"].as_mapping();
        let variables = variables.expect("a mapping").iter();
        let function = Function {
            timeout: properties["Timeout"].as_integer().expect("an integer"),
            variables: variables.map(|(name, value)| (string(name), value_of(value))).collect(),
        };
        (string(&resource["Metadata"]["BuildProperties"]["Binary"]), function)
    };
    functions.map(function).collect()
}

fn value_of(value: &Yaml) -> Value {
    let Yaml::Tagged(tag, node) = value else {
        panic!("{value:?} is neither a !Ref nor an !If");
    };
    if tag.suffix == "If" {
        return Value::LeftOut;
    }
    let name = string(node);
    let parameters = TEMPLATE["Parameters"].as_mapping().expect("a mapping");
    match parameters.get(node) {
        Some(parameter) => Value::Parameter(string(&parameter["Default"])),
        None => Value::Resource(name),
    }
}

fn string(yaml: &Yaml) -> String {
    yaml.as_str().expect("a string").to_owned()
}

/// Creates the table that the template defines under this logical id, with the given name, unless it exists.
pub async fn create(client: &Client, logical_id: &str, name: &str) {
    let properties = &TEMPLATE["Resources"][logical_id]["Properties"];
    let elements = |key: &str| properties[key].as_vec().expect("a list").clone();
    let definitions = elements("AttributeDefinitions").into_iter().map(|element| {
        let definition = AttributeDefinition::builder()
            .attribute_name(string(&element["AttributeName"]))
            .attribute_type(string(&element["AttributeType"]).as_str().into());
        definition.build().expect("a complete definition")
    });
    let key = elements("KeySchema").into_iter().map(|element| {
        let part = KeySchemaElement::builder()
            .attribute_name(string(&element["AttributeName"]))
            .key_type(string(&element["KeyType"]).as_str().into());
        part.build().expect("a complete element")
    });
    let created = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(definitions.collect()))
        .set_key_schema(Some(key.collect()))
        .send()
        .await;
    match created.map_err(SdkError::into_service_error) {
        Ok(_) | Err(CreateTableError::ResourceInUseException(_)) => {}
        Err(error) => panic!("{name} cannot be created: {}", DisplayErrorContext(error)),
    }
}
