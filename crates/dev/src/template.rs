//! Creates the tables as `template.yaml` defines them, so that tests use the tables that are deployed.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement};
use saphyr::{LoadableYamlNode, Yaml};

const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Creates the table that the template defines under this logical id, with the given name, unless it exists.
pub async fn create(client: &Client, logical_id: &str, name: &str) {
    let template = &Yaml::load_from_str(TEMPLATE).expect("template.yaml is YAML")[0];
    let properties = &template["Resources"][logical_id]["Properties"];
    let text = |element: &Yaml, key: &str| element[key].as_str().expect("a string").to_owned();
    let elements = |key: &str| properties[key].as_vec().expect("a list").clone();
    let definitions = elements("AttributeDefinitions").into_iter().map(|element| {
        let definition = AttributeDefinition::builder()
            .attribute_name(text(&element, "AttributeName"))
            .attribute_type(text(&element, "AttributeType").as_str().into());
        definition.build().expect("a complete definition")
    });
    let key = elements("KeySchema").into_iter().map(|element| {
        let part = KeySchemaElement::builder()
            .attribute_name(text(&element, "AttributeName"))
            .key_type(text(&element, "KeyType").as_str().into());
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
