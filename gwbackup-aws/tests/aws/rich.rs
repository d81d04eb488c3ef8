//! An account that holds something of everything, with names that repeat.

use std::time::Duration;

use gwbackup_aws::testing::AwsDouble;
use serde_json::{Value, json};

use crate::bench::{Bench, ask, make};
use crate::shown;

/// Region and account of a double.
pub(crate) const HOME: (&str, &str) = ("eu-central-1", "123456789012");

/// Three APIs of each sort, and what goes with them.
pub(crate) fn fill(bench: &Bench, double: &AwsDouble) {
    fill_with(bench, double, 3);
}

/// So many APIs of each sort, at most three.
pub(crate) fn fill_with(bench: &Bench, double: &AwsDouble, count: usize) {
    let (region, account) = HOME;
    let role = format!("arn:aws:iam::{account}:role/logs");
    let operations = json!([{ "op": "replace", "path": "/cloudwatchRoleArn", "value": role }]);
    ask(double, "PATCH", "/account", json!({ "patchOperations": operations }));
    let balancer = format!("arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/net/a/1");
    let links = ["a", "a", "b"].map(|name| {
        make(
            double,
            "/vpclinks",
            json!({ "name": name, "targetArns": [balancer], "tags": {"t": "1"} }),
        )
    });
    let second = ["x", "x", "y"].map(|name| {
        make(
            double,
            "/v2/vpclinks",
            json!({ "name": name, "subnetIds": ["subnet-1", "subnet-2"],
            "securityGroupIds": ["sg-1"] }),
        )
    });
    bench.clock.advance(Duration::from_mins(5));
    let certificates = ["edge", "edge", "old"]
        .map(|text| make(double, "/clientcertificates", json!({ "description": text })));
    let keys: Vec<String> = (0..3)
        .map(|n| {
            make(
                double,
                "/apikeys",
                json!({ "name": "mobile", "enabled": n != 1,
            "value": format!("a-secret-value-of-key-{n}"), "tags": {"n": n.to_string()} }),
            )
        })
        .collect();
    let apis: Vec<String> =
        (0..count).map(|n| rest(double, n, &links[n], &certificates[n])).collect();
    for (n, api) in apis.iter().enumerate() {
        let plan = make(
            double,
            "/usageplans",
            json!({ "name": "gold",
            "throttle": { "rateLimit": 10.5, "burstLimit": 20 }, "quota": { "limit": 1000 + n, "period": "MONTH", "offset": 0 },
            "apiStages": [{ "apiId": api, "stage": "prod", "throttle": { "/orders/GET": { "rateLimit": 1.0, "burstLimit": 2 } } }] }),
        );
        ask(
            double,
            "POST",
            &format!("/usageplans/{plan}/keys"),
            json!({ "keyId": keys[n], "keyType": "API_KEY" }),
        );
    }
    let http: Vec<String> = (0..count).map(|n| self::http(double, n, &second[n])).collect();
    for n in 0..count {
        websocket(double, n);
    }
    let certificate = format!("arn:aws:acm:{region}:{account}:certificate/1");
    for n in 0..count {
        let name = format!("api{n}.example.com");
        ask(
            double,
            "POST",
            "/domainnames",
            json!({ "domainName": name, "regionalCertificateArn": certificate,
            "endpointConfiguration": { "types": ["REGIONAL"] }, "tags": { "team": "a" } }),
        );
        let path = format!("/domainnames/{name}/basepathmappings");
        ask(
            double,
            "POST",
            &path,
            json!({ "basePath": "v1", "restApiId": apis[n], "stage": "prod" }),
        );
        ask(double, "POST", &path, json!({ "restApiId": apis[n], "stage": "test" }));
        let path = format!("/v2/domainnames/{name}/apimappings");
        ask(
            double,
            "POST",
            &path,
            json!({ "apiMappingKey": "deep/er", "apiId": http[n], "stage": "$default" }),
        );
    }
    shown::fill(double, &apis);
}

/// A REST API whose working copy is not what its stages serve.
fn rest(double: &AwsDouble, n: usize, link: &str, certificate: &str) -> String {
    let (region, account) = HOME;
    let api = make(
        double,
        "/restapis",
        json!({ "name": "orders", "description": format!("the {n}th"),
        "version": "7", "binaryMediaTypes": ["image/png", "application/zip"], "minimumCompressionSize": 0,
        "endpointConfiguration": { "types": ["REGIONAL"] }, "tags": { "cost": "1" },
        "memberOfTomorrow": { "deep": [1, 2.50] } }),
    );
    let at = |rest: &str| format!("/restapis/{api}/{rest}");
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": "*",
        "Action": "execute-api:Invoke", "Resource": format!("arn:aws:execute-api:{region}:{account}:{api}/*") }] });
    let operations = json!([{ "op": "replace", "path": "/policy", "value": policy.to_string() }]);
    ask(double, "PATCH", &format!("/restapis/{api}"), json!({ "patchOperations": operations }));
    let schema = |name: &str| {
        json!({ "type": "object", "properties": { "next":
        { "$ref": format!("https://apigateway.amazonaws.com/restapis/{api}/models/{name}") } } })
        .to_string()
    };
    for (name, other) in [("Order", "Error"), ("Line", "Order"), ("Note", "Note")] {
        ask(
            double,
            "POST",
            &at("models"),
            json!({ "name": name, "contentType": "application/json",
            "description": "d", "schema": schema(other) }),
        );
    }
    // One that was born with the API is not wanted here.
    ask(double, "DELETE", &at("models/Empty"), Value::Null);
    let validators = ["body", "all", "none"].map(|name| make(double, &at("requestvalidators"),
        json!({ "name": name, "validateRequestBody": name != "none", "validateRequestParameters": name == "all" })));
    let function = format!(
        "arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/\
        arn:aws:lambda:{region}:{account}:function:auth/invocations"
    );
    let token = make(
        double,
        &at("authorizers"),
        json!({ "name": "token", "type": "TOKEN", "authType": "custom",
        "authorizerUri": function, "identitySource": "method.request.header.Authorization",
        "authorizerResultTtlInSeconds": 300 }),
    );
    let pool = format!("arn:aws:cognito-idp:{region}:{account}:userpool/{region}_a");
    let cognito = make(
        double,
        &at("authorizers"),
        json!({ "name": "people", "type": "COGNITO_USER_POOLS",
        "authType": "cognito_user_pools", "providerARNs": [pool, format!("{pool}2")],
        "identitySource": "method.request.header.Authorization" }),
    );
    for kind in ["DEFAULT_4XX", "DEFAULT_5XX", "UNAUTHORIZED"] {
        ask(
            double,
            "PUT",
            &at(&format!("gatewayresponses/{kind}")),
            json!({ "statusCode": "418",
            "responseParameters": { "gatewayresponse.header.X": "'1'" },
            "responseTemplates": { "application/json": "{\"message\":$context.error.messageString}" } }),
        );
    }
    let root = ask(double, "GET", &format!("/restapis/{api}"), Value::Null)["rootResourceId"]
        .as_str()
        .unwrap()
        .to_owned();
    let below = |parent: &str, part: &str| {
        make(double, &at(&format!("resources/{parent}")), json!({ "pathPart": part }))
    };
    let orders = below(&root, "orders");
    let one = below(&orders, "{id}");
    below(&one, "lines");
    method(
        double,
        &at(&format!("resources/{orders}/methods/GET")),
        json!({ "authorizationType": "CUSTOM",
        "authorizerId": token, "apiKeyRequired": true, "operationName": "list",
        "requestParameters": { "method.request.querystring.q": true, "method.request.header.X": false } }),
        json!({ "type": "HTTP", "httpMethod": "GET", "uri": "https://orders.internal/{id}", "connectionType": "VPC_LINK",
            "connectionId": link, "cacheKeyParameters": ["method.request.querystring.q"],
            "requestParameters": { "integration.request.querystring.q": "method.request.querystring.q" } }),
    );
    method(
        double,
        &at(&format!("resources/{orders}/methods/POST")),
        json!({ "authorizationType": "COGNITO_USER_POOLS",
        "authorizerId": cognito, "authorizationScopes": ["a/write", "a/read"], "requestValidatorId": validators[0],
        "requestModels": { "application/json": "Order" } }),
        json!({ "type": "AWS_PROXY", "httpMethod": "POST", "uri": function, "timeoutInMillis": 5000,
            "credentials": format!("arn:aws:iam::{account}:role/invoke") }),
    );
    method(
        double,
        &at(&format!("resources/{one}/methods/ANY")),
        json!({ "authorizationType": "AWS_IAM" }),
        json!({ "type": "MOCK", "cacheNamespace": "shared", "requestTemplates": { "application/json": "{\"statusCode\": 200}" } }),
    );
    for (n, path) in ["/orders", "/orders/{id}", "/"].iter().enumerate() {
        ask(
            double,
            "POST",
            &at("documentation/parts"),
            json!({ "location": { "type": "RESOURCE", "path": path },
            "properties": format!("{{\"description\":\"part {n}\"}}") }),
        );
    }
    for version in ["1", "2", "3"] {
        ask(
            double,
            "POST",
            &at("documentation/versions"),
            json!({ "documentationVersion": version, "description": "v" }),
        );
    }
    let first = make(double, &at("deployments"), json!({ "description": "first" }));
    method(
        double,
        &at(&format!("resources/{one}/methods/DELETE")),
        json!({ "authorizationType": "NONE" }),
        json!({ "type": "MOCK", "requestTemplates": { "application/json": "{\"statusCode\": 204}" } }),
    );
    let then = make(double, &at("deployments"), json!({ "description": "then" }));
    // Nothing serves this one.
    make(double, &at("deployments"), json!({ "description": "unused" }));
    for (name, deployment) in [("prod", &first), ("test", &then), ("dev", &then)] {
        ask(
            double,
            "POST",
            &at("stages"),
            json!({ "stageName": name, "deploymentId": deployment, "description": "s",
            "variables": { "alias": name, "table": "t-1" }, "documentationVersion": "2", "tracingEnabled": true,
            "canarySettings": { "percentTraffic": 12.5, "deploymentId": first, "useStageCache": false,
                "stageVariableOverrides": { "alias": "canary" } },
            "tags": { "stage": name } }),
        );
    }
    let log = format!("arn:aws:logs:{region}:{account}:log-group:gw");
    let operations = json!([
        { "op": "replace", "path": "/*/*/logging/loglevel", "value": "INFO" },
        { "op": "replace", "path": "/~1orders/GET/caching/ttlInSeconds", "value": "60" },
        { "op": "replace", "path": "/accessLogSettings/destinationArn", "value": log },
        { "op": "replace", "path": "/accessLogSettings/format", "value": "$context.requestId" },
        { "op": "replace", "path": "/clientCertificateId", "value": certificate },
    ]);
    ask(double, "PATCH", &at("stages/prod"), json!({ "patchOperations": operations }));
    // Edited and not deployed.
    method(
        double,
        &at(&format!("resources/{one}/methods/PUT")),
        json!({ "authorizationType": "NONE" }),
        json!({ "type": "MOCK", "requestTemplates": { "application/json": format!("{{\"statusCode\": {}}}", 200 + n) } }),
    );
    api
}

fn method(double: &AwsDouble, at: &str, method: Value, integration: Value) {
    ask(double, "PUT", at, method);
    for (code, pattern) in [("200", None), ("404", Some("4.."))] {
        ask(
            double,
            "PUT",
            &format!("{at}/responses/{code}"),
            json!({
            "responseModels": { "application/json": "Error" },
            "responseParameters": { "method.response.header.X-Own": false } }),
        );
        let _ = pattern;
    }
    ask(double, "PUT", &format!("{at}/integration"), integration.clone());
    for (code, pattern) in [("200", None), ("404", Some("4.."))] {
        let mut body = json!({ "responseTemplates": { "application/json": "" } });
        if let Some(pattern) = pattern {
            body["selectionPattern"] = pattern.into();
        }
        ask(double, "PUT", &format!("{at}/integration/responses/{code}"), body);
    }
}

fn http(double: &AwsDouble, n: usize, link: &str) -> String {
    let (region, account) = HOME;
    let api = make(
        double,
        "/v2/apis",
        json!({ "name": "shop", "protocolType": "HTTP", "description": format!("{n}"),
        "corsConfiguration": { "allowOrigins": ["*"], "maxAge": 10 }, "tags": { "a": "b" } }),
    );
    let at = |rest: &str| format!("/v2/apis/{api}/{rest}");
    let authorizer = make(
        double,
        &at("authorizers"),
        json!({ "name": "jwt", "authorizerType": "JWT",
        "identitySource": ["$request.header.Authorization"],
        "jwtConfiguration": { "issuer": "https://issuer.example", "audience": ["shop"] } }),
    );
    // Two of the same content, told apart by nothing but their ids.
    let twins = [0, 1].map(|_| make(double, &at("integrations"), json!({ "integrationType": "HTTP_PROXY",
        "integrationUri": "https://shop.internal", "integrationMethod": "ANY", "payloadFormatVersion": "1.0" })));
    let private = make(
        double,
        &at("integrations"),
        json!({ "integrationType": "HTTP_PROXY", "connectionType": "VPC_LINK",
        "connectionId": link, "integrationMethod": "ANY", "payloadFormatVersion": "1.0",
        "integrationUri": format!("arn:aws:elasticloadbalancing:{region}:{account}:listener/a") }),
    );
    for (key, integration) in [("GET /a", &twins[0]), ("GET /b", &twins[1]), ("$default", &private)]
    {
        make(
            double,
            &at("routes"),
            json!({ "routeKey": key, "target": format!("integrations/{integration}"),
            "authorizationType": "JWT", "authorizerId": authorizer, "authorizationScopes": ["s"] }),
        );
    }
    ask(
        double,
        "POST",
        &at("stages"),
        json!({ "stageName": "$default", "autoDeploy": true, "stageVariables": { "v": "1" } }),
    );
    let deployment = make(double, &at("deployments"), json!({ "description": "by hand" }));
    // Edited and not deployed.
    let route = make(
        double,
        &at("routes"),
        json!({ "routeKey": "POST /a", "target": format!("integrations/{}", twins[0]) }),
    );
    ask(
        double,
        "PATCH",
        &at(&format!("routes/{route}")),
        json!({ "operationName": format!("o{n}") }),
    );
    ask(
        double,
        "PATCH",
        &at(&format!("integrations/{}", twins[1])),
        json!({ "integrationUri": "https://other.internal" }),
    );
    for name in ["blue", "green"] {
        ask(
            double,
            "POST",
            &at("stages"),
            json!({ "stageName": name, "deploymentId": deployment,
            "accessLogSettings": { "destinationArn": format!("arn:aws:logs:{region}:{account}:log-group:h"), "format": "x" },
            "defaultRouteSettings": { "throttlingBurstLimit": 5, "throttlingRateLimit": 2.5 } }),
        );
    }
    api
}

fn websocket(double: &AwsDouble, n: usize) {
    let api = make(
        double,
        "/v2/apis",
        json!({ "name": "chat", "description": format!("{n}"), "protocolType": "WEBSOCKET",
        "routeSelectionExpression": "$request.body.action" }),
    );
    let at = |rest: &str| format!("/v2/apis/{api}/{rest}");
    for name in ["Message", "Join", "Leave"] {
        ask(
            double,
            "POST",
            &at("models"),
            json!({ "name": name, "contentType": "application/json", "schema": "{}" }),
        );
    }
    let integration = make(
        double,
        &at("integrations"),
        json!({ "integrationType": "MOCK",
        "requestTemplates": { "200": "{\"statusCode\":200}" } }),
    );
    ask(
        double,
        "POST",
        &at(&format!("integrations/{integration}/integrationresponses")),
        json!({ "integrationResponseKey": "$default" }),
    );
    let route = make(
        double,
        &at("routes"),
        json!({ "routeKey": "send", "target": format!("integrations/{integration}"),
        "routeResponseSelectionExpression": "$default", "requestModels": { "$default": "Message" } }),
    );
    ask(
        double,
        "POST",
        &at(&format!("routes/{route}/routeresponses")),
        json!({ "routeResponseKey": "$default" }),
    );
    let deployment = make(double, &at("deployments"), json!({}));
    ask(double, "POST", &at("stages"), json!({ "stageName": "live", "deploymentId": deployment }));
}
