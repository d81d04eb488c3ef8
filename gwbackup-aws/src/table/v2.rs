//! HTTP and WebSocket APIs, and what the second version of the API keeps beside them.

use gwbackup_core::model::{Restore, Role};

use super::Is::{Default, Immutable, Moving, Own, Spare, Unordered};
use super::{Change, Make, Ref, Row, Told, arn, needs, row};
use crate::client::Paging;

const fn second(kind: &'static str, parent: &'static str, rank: u16, list: &'static str) -> Row {
    Row { paging: Paging::Token, change: Change::Members, ..row(kind, parent, rank, list) }
}

/// In the order of writing.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "vpcLinkId",
        members: &[
            ("/vpcLinkId", Own),
            ("/createdDate", Own),
            ("/vpcLinkStatus", Own),
            ("/vpcLinkStatusMessage", Own),
            ("/vpcLinkVersion", Own),
            ("/securityGroupIds", Unordered),
            ("/securityGroupIds", Immutable),
            ("/subnetIds", Unordered),
            ("/subnetIds", Immutable),
        ],
        called: "name",
        outside: &[("/subnetIds/*", "subnet"), ("/securityGroupIds/*", "security_group")],
        ..second("vpc_link_v2", "", 5, "v2/vpclinks")
    },
    Row {
        id: "apiId",
        members: &[
            ("/apiId", Own),
            ("/apiEndpoint", Own),
            ("/apiGatewayManaged", Own),
            ("/createdDate", Own),
            ("/importInfo", Own),
            ("/warnings", Own),
            ("/protocolType", Immutable),
        ],
        called: "name",
        ..second("api", "", 20, "v2/apis")
    },
    Row {
        id: "authorizerId",
        named: "name",
        members: &[("/authorizerId", Own)],
        outside: &[("/authorizerUri", "function"), ("/authorizerCredentialsArn", "role")],
        ..second("api_authorizer", "api", 21, "authorizers")
    },
    Row {
        id: "modelId",
        named: "name",
        members: &[("/modelId", Own)],
        ..second("api_model", "api", 21, "models")
    },
    Row {
        id: "integrationId",
        members: &[
            ("/integrationId", Own),
            ("/apiGatewayManaged", Own),
            ("/integrationResponseSelectionExpression", Own),
        ],
        nameless: true,
        outside: &[("/integrationUri", "function"), ("/credentialsArn", "role")],
        ..second("api_integration", "api", 22, "integrations")
    },
    Row {
        id: "integrationResponseId",
        named: "integrationResponseKey",
        members: &[("/integrationResponseId", Own)],
        ..second("api_integration_response", "api_integration", 23, "integrationresponses")
    },
    Row {
        id: "routeId",
        named: "routeKey",
        members: &[
            ("/routeId", Own),
            ("/apiGatewayManaged", Own),
            ("/authorizationScopes", Unordered),
        ],
        refs: &[
            Ref { prefix: "integrations/", ..needs("/target", &["api_integration"]) },
            needs("/authorizerId", &["api_authorizer"]),
        ],
        ..second("api_route", "api", 24, "routes")
    },
    Row {
        id: "routeResponseId",
        named: "routeResponseKey",
        members: &[("/routeResponseId", Own)],
        ..second("api_route_response", "api_route", 25, "routeresponses")
    },
    Row {
        id: "deploymentId",
        members: &[
            ("/deploymentId", Own),
            ("/createdDate", Own),
            ("/deploymentStatus", Own),
            ("/deploymentStatusMessage", Own),
            ("/autoDeployed", Own),
            ("/export/servers", Own),
            ("/export/info/version", Own),
            ("/export", Spare),
        ],
        change: Change::Never,
        restore: Restore::WhenReferenced,
        nameless: true,
        served: "api_stage",
        ..second("api_deployment", "api", 26, "deployments")
    },
    Row {
        id: "stageName",
        named: "stageName",
        members: &[
            ("/apiGatewayManaged", Own),
            ("/createdDate", Own),
            ("/lastUpdatedDate", Moving),
            ("/lastDeploymentStatusMessage", Own),
        ],
        refs: &[
            needs("/deploymentId", &["api_deployment"]),
            needs("/clientCertificateId", &["client_certificate"]),
        ],
        outside: &[("/accessLogSettings/destinationArn", "log_group")],
        ..second("api_stage", "api", 27, "stages")
    },
    Row {
        id: "apiMappingId",
        named: "apiMappingKey",
        members: &[("/apiMappingId", Own)],
        always: &["apiId"],
        refs: &[needs("/apiId", &["api", "rest_api"])],
        ..second("api_mapping", "domain_name", 72, "apimappings")
    },
    Row {
        id: "routingRuleId",
        named: "priority",
        change: Change::Again,
        paging: Paging::Token,
        members: &[("/routingRuleId", Own), ("/routingRuleArn", Own)],
        refs: &[needs("/actions/*/invokeApi/apiId", &["api", "rest_api"])],
        noun: "RoutingRule",
        ..second("routing_rule", "domain_name", 73, "routingrules")
    },
    Row {
        id: "portalProductId",
        told: Told::Named,
        members: &[
            ("/portalProductId", Own),
            ("/portalProductArn", Own),
            ("/lastModified", Moving),
        ],
        later: &["/displayOrder"],
        refs: &[
            arn("/displayOrder/overviewPageArn", &["product_page"], Role::Later),
            arn("/displayOrder/productPageArns/*", &["product_page"], Role::Later),
            arn(
                "/displayOrder/contents/*/productRestEndpointPageArns/*",
                &["product_rest_endpoint_page"],
                Role::Later,
            ),
        ],
        called: "displayName",
        arn: "portalProductArn",
        young: true,
        noun: "PortalProduct",
        ..second("portal_product", "", 75, "v2/portalproducts")
    },
    Row {
        id: "productPageId",
        told: Told::Named,
        members: &[("/productPageId", Own), ("/productPageArn", Own), ("/lastModified", Moving)],
        called: "displayContent/title",
        arn: "productPageArn",
        noun: "ProductPage",
        ..second("product_page", "portal_product", 76, "productpages")
    },
    Row {
        id: "productRestEndpointPageId",
        told: Told::Named,
        members: &[
            ("/productRestEndpointPageId", Own),
            ("/productRestEndpointPageArn", Own),
            ("/lastModified", Moving),
            ("/status", Own),
            ("/statusException", Own),
            ("/restEndpointIdentifier", Immutable),
        ],
        refs: &[needs("/restEndpointIdentifier/identifierParts/restApiId", &["rest_api"])],
        nameless: true,
        arn: "productRestEndpointPageArn",
        noun: "ProductRestEndpointPage",
        ..second("product_rest_endpoint_page", "portal_product", 76, "productrestendpointpages")
    },
    Row {
        told: Told::Alone,
        make: Make::Put,
        change: Change::Again,
        members: &[("/portalProductId", Own)],
        noun: "PortalProductSharingPolicy",
        ..second("portal_product_sharing_policy", "portal_product", 77, "sharingpolicy")
    },
    Row {
        id: "portalId",
        told: Told::Named,
        members: &[
            ("/portalId", Own),
            ("/portalArn", Own),
            ("/lastModified", Moving),
            ("/lastPublished", Moving),
            ("/lastPublishedDescription", Own),
            ("/preview", Own),
            ("/statusException", Own),
            ("/endpointConfiguration/portalDefaultDomainName", Own),
            ("/endpointConfiguration/portalDomainHostedZoneId", Own),
            ("/portalContent/theme/logoLastUploaded", Moving),
            ("/includedPortalProductArns", Unordered),
            ("/publishStatus", Default("\"DISABLED\"")),
        ],
        refs: &[arn("/includedPortalProductArns/*", &["portal_product"], Role::Needs)],
        called: "portalContent/displayName",
        arn: "portalArn",
        young: true,
        outside: &[
            ("/endpointConfiguration/certificateArn", "certificate"),
            ("/authorization/cognitoConfig/userPoolArn", "user_pool"),
        ],
        noun: "Portal",
        ..second("portal", "", 78, "v2/portals")
    },
];
